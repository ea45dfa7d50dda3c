"""Changes much, then fails. Only `-c failing.ini` sees it."""

from alembic import op

revision, down_revision = "0004", "0003"


def upgrade():
    op.execute("alter table customer add column doomed int default 7")
    op.execute("delete from purchase")
    op.execute("select 1 / 0")


def downgrade():
    pass
