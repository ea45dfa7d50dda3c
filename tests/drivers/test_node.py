"""node-postgres and postgres.js: forty clients of each on few server connections. The programs are in tests/node."""

import pytest

from drivers.crowd import CLIENTS, ROUNDS, SETUP, check
from fixtures.node import node

CROWD = {"CLIENTS": str(CLIENTS), "ROUNDS": str(ROUNDS)}


def test_node_postgres(platform, project, crowded):
    project.query(SETUP)
    node(platform, crowded, "drivers/pg_crowd.mjs", **CROWD)
    check(project)


def test_node_postgres_pool_and_pipeline(platform, crowded):
    node(platform, crowded, "drivers/pg_pipeline.mjs", **CROWD)


@pytest.mark.parametrize("prepare", ["true", "false"])
def test_postgres_js(platform, project, crowded, prepare):
    project.query(SETUP)
    node(platform, crowded, "drivers/postgres_js.mjs", PREPARE=prepare, **CROWD)
    check(project)
