"""As `alembic init` makes it, with the lock that many teams add so that only one deployment migrates at a time."""

import os
import sys
import time
from logging.config import fileConfig
from pathlib import Path

import sqlalchemy as sa
from alembic import context

sys.path.insert(0, str(Path(__file__).resolve().parent))
from models import Base  # noqa: E402

fileConfig(context.config.config_file_name, disable_existing_loggers=False)
engine = sa.create_engine(os.environ["DATABASE_URL"], poolclass=sa.pool.NullPool)
with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as lock:
    # Asked for again and again: CREATE INDEX CONCURRENTLY would wait for a session that waits for the lock.
    while not lock.scalar(sa.text("select pg_try_advisory_lock(4711)")):
        time.sleep(0.05)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
    lock.execute(sa.text("select pg_advisory_unlock(4711)"))
