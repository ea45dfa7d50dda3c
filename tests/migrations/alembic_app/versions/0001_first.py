import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade():
    op.create_table(
        "customer",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("status", sa.Enum("new", "active", name="status"), nullable=False, server_default="new"))
    op.create_table(
        "purchase",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("customer_id", sa.Integer, sa.ForeignKey("customer.id"), nullable=False),
        sa.Column("cents", sa.BigInteger, nullable=False))
    customer = sa.table("customer", sa.column("name"))
    op.bulk_insert(customer, [{"name": f"customer {i}"} for i in range(100)])
    op.execute("insert into purchase (customer_id, cents) select id, id * 100 from customer")


def downgrade():
    op.drop_table("purchase")
    op.drop_table("customer")
    op.execute("drop type status")
