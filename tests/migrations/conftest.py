"""Small real apps, each migrated up and down by its own tool, on a project of its own."""

import os
import subprocess
import threading
from pathlib import Path

import psycopg2
import pytest

FOLDER = Path(__file__).resolve().parent


def run_python(string, app, *args, check=True, **environment):
    """Output of `python3 <args>` in the app's folder, with the string in DATABASE_URL."""
    done = subprocess.run(["/usr/bin/python3", *args], cwd=FOLDER / app, text=True, capture_output=True, timeout=120,
                          env={**os.environ, "DATABASE_URL": string, "PYTHONDONTWRITEBYTECODE": "1", **environment})
    if check:
        assert done.returncode == 0, f"{args}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture
def neighbours(crowded):
    """Clients that want the few server connections all the time, as a live application does while it is migrated."""
    stop, errors = threading.Event(), []

    def work(client):
        try:
            connection = psycopg2.connect(crowded)
            connection.autocommit = True
            with connection.cursor() as cursor:
                while not stop.wait(0.02):
                    cursor.execute("select %s + count(*) from pg_class where oid < 1000", (client,))
                    cursor.fetchone()
            connection.close()
        except psycopg2.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(client,)) for client in range(12)]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []


def public_tables(project):
    return [row[0] for row in project.query("select relname from pg_class where relnamespace = 'public'::regnamespace "
                                            "and relkind in ('r', 'p') order by 1")]
