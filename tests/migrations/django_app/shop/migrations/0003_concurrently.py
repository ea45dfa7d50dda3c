from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("shop", "0002_slug")]
    operations = [
        AddIndexConcurrently("Product", models.Index(fields=["slug"], name="product_slug")),
        migrations.RunSQL("create index concurrently order_count on shop_order (count)", "drop index concurrently order_count"),
        migrations.AlterField("Product", "slug", models.SlugField(max_length=80, default="")),
    ]
