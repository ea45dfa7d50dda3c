"""What a client's `options` do is the same on a direct connection, where Postgres reads them, and on a pooled one, where we do."""

import contextlib

import psycopg2
import pytest

SHOWN = ("work_mem", "enable_seqscan", "enable_hashjoin", "enable_nestloop", "datestyle", "search_path", "log_min_messages",
         "statement_timeout", "ignore_system_indexes", "fsync", "my.own")

OPTIONS = [
    "-S 2048", "-S2048", "-S 2MB", "-f s", "-fh", "-fn -f s", "-e", "-eS 64", "-P", "-F", "-d 2", "-d2", "-E", "-b", "-t pa", "-t e",
    "-s", "-W 0", "-B 16MB", "-N 5", "-D /x", "-r x", "-h x", "-i", "-k x", "-l", "-n", "-p 1", "-T", "-v 3", "-v 196608", "-j", "-O",
    "-c work_mem=3MB", "-cwork_mem=3MB", "-c  work_mem=3MB", "--work_mem=3MB", "--work-mem=3MB", "--my.own=x", "-c my.own=",
    r"--search-path=a,\ b", r"-c search_path=a\\b", "-c work_mem=1MB -c work_mem=3MB", "-c WORK_MEM=3MB", "-c statement_timeout=5s",
    "", " ", "\t-e\n", "--", "-- -e",
    # Refused:
    "rubbish", "-e rubbish", "-c", "-c work_mem", "--work_mem", "-S", "-S x", "-f", "-f x", "-t", "-t p", "-t x", "-Z", "-", "\\", "-- x",
    "-e -- x", "-d", "-c work_mem=lots", "-c no_such_setting=1", "-c a-b.c=1", "-c =1", "-c max_connections=5", "-?", "-C", "-v x",
]


def outcome(project, pooled, options):
    """The settings that a session with these options has, or the SQLSTATE of its refusal."""
    try:
        with contextlib.closing(project.connect(pooled=pooled, options=options)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT " + ", ".join(f"current_setting('{name}', true)" for name in SHOWN))
            return cursor.fetchone()
    except psycopg2.OperationalError as error:
        return str(error).rpartition("FATAL:")[2].splitlines()[0].strip()


@pytest.fixture(scope="module")
def shared(session_platform):
    project = session_platform.create_project()
    yield project
    project.delete()


@pytest.mark.parametrize("options", OPTIONS)
def test_options_are_taken_as_postgres_takes_them(shared, options):
    assert outcome(shared, True, options) == outcome(shared, False, options)
