"""Django's migrate, and the cursor that its iterator() holds outside of transactions."""

import pytest

from migrations.conftest import public_tables, run_python


def manage(string, *args, **options):
    return run_python(string, "django_app", "manage.py", *args, **options)


@pytest.fixture
def shop(crowded):
    manage(crowded, "migrate", "--verbosity=0")
    return crowded


def test_migrate_forwards_and_backwards(project, crowded, neighbours):
    manage(crowded, "migrate", "--verbosity=0")
    assert "No changes detected" in manage(crowded, "makemigrations", "--check", "--dry-run")
    assert "[ ]" not in manage(crowded, "showmigrations")
    assert project.query("select count(*), count(distinct slug), sum(price) from shop_product") == [(500, 500, 124750)]
    assert project.query("select count(*), sum(count) from shop_order") == [(100, 24850)]
    assert project.query("select indisvalid from pg_index where indexrelid in ('order_count'::regclass, 'product_slug'::regclass)") == \
        [(True,), (True,)]
    assert project.query("select count(*) from pg_locks where locktype = 'advisory'") == [(0,)]
    manage(crowded, "migrate", "shop", "0001", "--verbosity=0")
    assert project.query("select count(*) from shop_product") == [(0,)]
    manage(crowded, "migrate", "shop", "zero", "--verbosity=0")
    assert not [name for name in public_tables(project) if name.startswith("shop_")]
    manage(crowded, "migrate", "--verbosity=0")
    assert project.query("select count(*) from shop_product") == [(500,)]


def test_iterators_over_cursors_on_the_server(shop, neighbours):
    """Outside a transaction Django declares its cursor WITH HOLD: state that stays with one server connection."""
    code = ("from shop.models import Product\n"
            "seen = []\n"
            "for p in Product.objects.order_by('id').iterator(chunk_size=50):\n"
            "    seen.append(p.name)\n"
            "    if len(seen) % 50 == 1: assert Product.objects.filter(name=p.name).count() == 1\n"
            "assert seen == [f'Product {i}' for i in range(500)], len(seen)\n"
            "print('seen', len(seen))\n")
    assert "seen 500" in manage(shop, "shell", "-c", code)


def test_transactions_and_savepoints(shop, project):
    code = ("from django.db import transaction, IntegrityError\n"
            "from shop.models import Product\n"
            "with transaction.atomic():\n"
            "    Product.objects.create(name='kept', price=1)\n"
            "    try:\n"
            "        with transaction.atomic():\n"
            "            Product.objects.create(name='kept', price=2)\n"
            "    except IntegrityError: pass\n"
            "    Product.objects.select_for_update().get(name='kept')\n")
    manage(shop, "shell", "-c", code)
    assert project.query("select count(*), min(price) from shop_product where name = 'kept'") == [(1, 1)]
