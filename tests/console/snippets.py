"""Runs what the console's Connect dialog gives, as it stands, where its runtime is on this machine."""

import os
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fixtures.node import FOLDER
from fixtures.platform import PSQL
from migrations.test_node_migrations import PRISMA

PYTHON = ["psycopg", "psycopg2", "asyncpg", "SQLAlchemy"]
NODE = ["node-postgres", "Drizzle", "Serverless driver"]
# Only looked at: pgx 5 cannot be had here. Debian's pgx 4 is without SNI, which tells the endpoint.
NOT_RUN = ["Go"]
JDBC = "/usr/share/java/postgresql.jar"
# As Rails does it at its start.
RAILS = """
require "erb"
require "yaml"
require "active_record"
ActiveRecord::Base.configurations = YAML.load(ERB.new(File.read("database.yml")).result, aliases: true)
ActiveRecord::Base.establish_connection(:production)
puts ActiveRecord::Base.connection.select_value("SELECT version()")
"""


def environment(env_file):
    """What a .env says, as a shell and every dotenv read it."""
    return dict(re.findall(r'^(\w+)="(.*)"$', env_file, re.M))


def run(what, arguments, env, cwd):
    done = subprocess.run(arguments, env={**os.environ, **env}, cwd=cwd, text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, f"{what}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def run_snippets(platform, snippets):
    expected = {"psql", ".env", "Django", "Prisma", "schema.prisma", "Rails", "Java", *PYTHON, *NODE, *NOT_RUN}
    assert set(snippets) == expected
    env = environment(snippets[".env"])
    ca = {"NODE_EXTRA_CA_CERTS": platform.status()["ca_file"], "NODE_NO_WARNINGS": "1"}
    path = f"{Path(PSQL).parent}:{os.environ['PATH']}"
    with tempfile.TemporaryDirectory(prefix="halogen-snippets-") as folder, ThreadPoolExecutor(3) as together:
        jobs = [together.submit(run_java, snippets["Java"], folder)]
        jobs.append(together.submit(run_prisma, snippets, {**env, **ca}))
        jobs.append(together.submit(run_django, snippets["Django"], env, folder))
        jobs.append(together.submit(run_rails, snippets["Rails"], env, folder))
        jobs += [together.submit(run_python, name, snippets[name], env, folder) for name in PYTHON]
        jobs += [together.submit(run_node, name, snippets[name], {**env, **ca}) for name in NODE]
        assert run("psql", ["sh", "-c", snippets["psql"] + " -Atc 'SELECT 42'"], {"PATH": path}, folder).strip() == "42"
        # libpq's own variables, which the .env has too.
        assert run(".env", [PSQL, "-Atc", "SELECT 43"], env, folder).strip() == "43"
        for job in jobs:
            job.result()
    assert 'pgx.Connect(ctx, os.Getenv("DATABASE_URL"))' in snippets["Go"]


def run_python(name, code, env, folder):
    assert "PostgreSQL 15" in run(name, ["/usr/bin/python3", "-c", code], env, folder), name


def run_node(name, code, env):
    # Beside its packages, as in a project of one's own.
    with tempfile.NamedTemporaryFile("w", suffix=".mjs", dir=FOLDER) as program:
        program.write(code)
        program.flush()
        assert "PostgreSQL 15" in run(name, ["node", program.name], env, FOLDER), name


def run_prisma(snippets, env):
    with tempfile.TemporaryDirectory(prefix="prisma-", dir=FOLDER) as folder:
        Path(folder, "schema.prisma").write_text(snippets["schema.prisma"])
        Path(folder, "app.mjs").write_text(snippets["Prisma"])
        run("prisma generate", ["node", "../node_modules/prisma/build/index.js", "generate"], {**env, **PRISMA}, folder)
        assert "PostgreSQL 15" in run("Prisma", ["node", "app.mjs"], env, folder)


def run_java(code, folder):
    Path(folder, "Main.java").write_text(code)
    assert "PostgreSQL 15" in run("Java", ["java", "-XX:TieredStopAtLevel=1", "-cp", JDBC, "Main.java"], {}, folder)


def run_rails(settings, env, folder):
    Path(folder, "database.yml").write_text(settings)
    assert "PostgreSQL 15" in run("Rails", ["/usr/bin/ruby", "-e", RAILS], env, folder)


def run_django(settings, env, folder):
    Path(folder, "settings.py").write_text(settings)
    program = "from django.db import connection\nwith connection.cursor() as c:\n    c.execute('SELECT version()')\n    print(c.fetchone()[0])"
    shown = run("Django", ["/usr/bin/python3", "-c", f"import django\ndjango.setup()\n{program}"],
                {**env, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": folder}, folder)
    assert "PostgreSQL 15" in shown
