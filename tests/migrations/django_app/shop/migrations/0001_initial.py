from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel("Product", [
            ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
            ("name", models.CharField(max_length=80, unique=True)),
            ("price", models.DecimalField(max_digits=8, decimal_places=2)),
            ("tags", models.JSONField(default=list))]),
        migrations.CreateModel("Order", [
            ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
            ("product", models.ForeignKey(on_delete=models.deletion.PROTECT, to="shop.product")),
            ("at", models.DateTimeField(auto_now_add=True)),
            ("count", models.PositiveIntegerField())]),
    ]
