"""What Postgres refuses inside a transaction."""

from alembic import op

revision, down_revision = "0003", "0002"


def upgrade():
    with op.get_context().autocommit_block():
        op.execute("alter type status add value 'gone'")
        op.create_index("purchase_customer", "purchase", ["customer_id"], postgresql_concurrently=True)
    op.execute("update customer set status = 'gone' where id % 10 = 0")


def downgrade():
    op.execute("update customer set status = 'new' where status = 'gone'")
    with op.get_context().autocommit_block():
        op.drop_index("purchase_customer", postgresql_concurrently=True)
    op.execute("alter type status rename to status_old")
    op.execute("create type status as enum ('new', 'active')")
    op.execute("alter table customer alter status drop default, "
               "alter status type status using status::text::status, alter status set default 'new'")
    op.execute("drop type status_old")
