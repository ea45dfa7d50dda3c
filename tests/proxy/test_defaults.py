"""What ALTER ROLE and ALTER DATABASE ... SET give a session is settled as it begins, as on a private connection."""

import contextlib

import pytest


@pytest.fixture(params=["pooled", "direct"])
def kind(request, platform, project):
    """How to connect, and how to have sessions move to another server."""
    if request.param == "pooled":
        platform.set_pooler(project, server_lifetime=0)  # After each transaction.
    project.pooled = request.param == "pooled"
    project.move = (lambda: None) if project.pooled else project.suspend
    return project


def show(connection, *names):
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(f"current_setting('{name}', true)" for name in names))
        return cursor.fetchone()


NAMES = ("TimeZone", "work_mem", "statement_timeout")


def test_a_session_that_moves_keeps_what_it_began_with(kind):
    with contextlib.closing(kind.connect(pooled=kind.pooled)) as before:
        old = show(before, *NAMES)
        kind.query("ALTER ROLE neondb_owner SET timezone = 'Asia/Tokyo'; ALTER DATABASE neondb SET work_mem = '7MB';"
                   "ALTER ROLE neondb_owner IN DATABASE neondb SET statement_timeout = '9s'")
        kind.move()
        assert show(before, *NAMES) == old
        with contextlib.closing(kind.connect(pooled=kind.pooled)) as later:
            assert show(later, *NAMES) == ("Asia/Tokyo", "7MB", "9s")
            kind.query("ALTER ROLE neondb_owner RESET timezone; ALTER DATABASE neondb RESET work_mem;"
                       "ALTER ROLE neondb_owner IN DATABASE neondb SET statement_timeout = '8s'")
            kind.move()
            assert show(later, *NAMES) == ("Asia/Tokyo", "7MB", "9s")
            with later.cursor() as cursor:
                cursor.execute("SET timezone = 'UTC'")
                kind.move()
                cursor.execute("RESET timezone")
            assert show(later, "TimeZone") == ("Asia/Tokyo",), "what RESET goes back to"
            assert show(before, *NAMES) == old, "the sessions do not see each other's"


def test_a_startup_packet_counts_more_than_a_role(kind):
    kind.query("ALTER ROLE neondb_owner SET work_mem = '7MB'")
    with contextlib.closing(kind.connect(pooled=kind.pooled, options="-c work_mem=9MB")) as session:
        assert show(session, "work_mem") == ("9MB",)
        kind.query("ALTER ROLE neondb_owner SET work_mem = '8MB'")
        kind.move()
        assert show(session, "work_mem") == ("9MB",)
        with session.cursor() as cursor:
            cursor.execute("SET work_mem = '1MB'; RESET work_mem")
        assert show(session, "work_mem") == ("9MB",)


def test_a_text_that_was_prepared_means_what_it_meant(kind):
    prepare = "PREPARE midnight AS SELECT timestamptz '2020-01-01 00:00' = timestamptz '2020-01-01 00:00 UTC'"
    with contextlib.closing(kind.connect(pooled=kind.pooled)) as session, session.cursor() as cursor:
        cursor.execute(prepare)
        kind.query("ALTER ROLE neondb_owner SET timezone = 'Asia/Tokyo'")
        kind.move()
        cursor.execute("EXECUTE midnight")
        assert cursor.fetchone() == (True,)
