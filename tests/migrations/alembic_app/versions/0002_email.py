"""A column that must not be null, filled from the rows there are; a type changed; both in one transaction."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade():
    op.add_column("customer", sa.Column("email", sa.Text))
    op.execute("update customer set email = replace(name, ' ', '.') || '@example.com'")
    op.alter_column("customer", "email", nullable=False)
    op.create_unique_constraint("customer_email_key", "customer", ["email"])
    op.drop_column("customer", "name")
    op.alter_column("purchase", "id", type_=sa.BigInteger)


def downgrade():
    op.alter_column("purchase", "id", type_=sa.Integer)
    op.add_column("customer", sa.Column("name", sa.Text))
    op.execute("update customer set name = replace(split_part(email, '@', 1), '.', ' ')")
    op.alter_column("customer", "name", nullable=False)
    op.drop_column("customer", "email")
