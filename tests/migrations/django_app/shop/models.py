from django.db import models


class Product(models.Model):
    name = models.CharField(max_length=80, unique=True)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    tags = models.JSONField(default=list)
    slug = models.SlugField(max_length=80, default="")

    class Meta:
        indexes = [models.Index(fields=["slug"], name="product_slug")]


class Order(models.Model):
    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    at = models.DateTimeField(auto_now_add=True)
    count = models.PositiveIntegerField()
