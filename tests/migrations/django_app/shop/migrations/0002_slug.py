"""Schema and data in one transaction, behind an advisory lock of the session: Django itself takes none."""

from django.db import migrations, models


def lock(apps, editor):
    editor.execute("select pg_advisory_lock(815)")


def unlock(apps, editor):
    editor.execute("select pg_advisory_unlock(815)")


def fill(apps, editor):
    Product, Order = apps.get_model("shop", "Product"), apps.get_model("shop", "Order")
    Product.objects.bulk_create(Product(name=f"Product {i}", price=i, tags=[i, "x"]) for i in range(500))
    for product in Product.objects.order_by("id").iterator(chunk_size=100):
        product.slug = product.name.lower().replace(" ", "-")
        product.save()
        if product.price % 5 == 0:
            Order.objects.create(product=product, count=int(product.price) + 1)


def clear(apps, editor):
    apps.get_model("shop", "Order").objects.all().delete()
    apps.get_model("shop", "Product").objects.all().delete()
    editor.execute("set constraints all immediate")  # Else the table has pending trigger events.


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [
        migrations.RunPython(lock, unlock),
        migrations.AddField("Product", "slug", models.SlugField(max_length=80, default="", db_index=False)),
        migrations.RunPython(fill, clear),
        migrations.RunPython(unlock, lock),
    ]
