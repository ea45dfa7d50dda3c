"""Extensions on a whole platform: an owner makes them, branches and dumps carry them, libraries are preloaded by the API."""

import os
import subprocess

from fixtures.platform import PSQL

PG_DUMP = os.path.join(os.path.dirname(PSQL), "pg_dump")
SOME = ["pgstattuple", "postgres_fdw", "dblink", "uuid-ossp", "earthdistance", "bloom", "amcheck", "xml2", "pg_buffercache"]


def extensions(project, branch=None):
    return {name: owner for name, owner in project.query("SELECT extname, extowner::regrole::text FROM pg_extension", branch=branch)}


def restart(project):
    project.suspend()
    project.wake()


def test_an_owner_makes_extensions_and_branches_and_dumps_have_them(project):
    project.query("; ".join(f'CREATE EXTENSION "{name}" CASCADE' for name in SOME))
    made = extensions(project)
    assert {made[name] for name in [*SOME, "cube"]} == {"neondb_owner"}
    project.query("CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw; CREATE TABLE points (p cube); INSERT INTO points VALUES ('(1,2)')")
    project.query("CREATE INDEX ON points USING gist (p)")
    project.create_branch("copy")
    assert extensions(project, "copy") == made
    assert project.query("SELECT pgstattuple('points') IS NOT NULL, cube_dim(p) FROM points", branch="copy") == [(True, 2)]
    project.query("DROP EXTENSION pgstattuple", branch="copy")
    assert "pgstattuple" in extensions(project) and "pgstattuple" not in extensions(project, "copy")
    dump = subprocess.run([PG_DUMP, project.connection_string()], check=True, capture_output=True).stdout
    project.query("CREATE DATABASE restored")
    done = subprocess.run([PSQL, "-X", "-q", "-v", "ON_ERROR_STOP=1", project.connection_string(database="restored")], input=dump, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_libraries_are_preloaded_for_a_project(project, platform):
    path = f"/api/v2/projects/{project.id}"
    offered = {entry["library_name"]: entry for entry in platform.api("GET", f"{path}/available_preload_libraries")["libraries"]}
    assert {"pg_stat_statements", "auto_explain"} <= offered.keys() and offered["pg_stat_statements"]["version"].startswith("1.")
    refused = platform.api("PATCH", path, {"project": {"settings": {"preload_libraries": {"enabled_libraries": ["basebackup_to_shell"]}}}}, status=400)
    assert "basebackup_to_shell" in refused["message"]
    answer = platform.api("PATCH", path, {"project": {"settings": {"preload_libraries": {"enabled_libraries": ["pg_stat_statements"]}}}})
    assert answer["project"]["settings"]["preload_libraries"] == {"enabled_libraries": ["pg_stat_statements"]}
    platform.set_pg_setting(project, "shared_preload_libraries", "auto_explain, pg_stat_statements")
    restart(project)
    loaded = project.query("SHOW shared_preload_libraries")[0][0]
    assert loaded == "halogen,auto_explain,pg_stat_statements"
    # As the console switches it on: the database's owner has it then.
    branch = platform.api("GET", f"{path}/branches")["branches"][0]["id"]
    for _ in range(2):
        platform.api("POST", f"{path}/branches/{branch}/databases/neondb/statistics", status=201)
    assert extensions(project)["pg_stat_statements"] == "neondb_owner"
    assert project.query("SELECT count(*) > 0 FROM pg_stat_statements") == [(True,)]
    project.query("SELECT pg_stat_statements_reset()")
    platform.api("PATCH", path, {"project": {"settings": {"preload_libraries": None}}})
    platform.set_pg_setting(project, "shared_preload_libraries", "")
    restart(project)
    assert project.query("SHOW shared_preload_libraries") == [("halogen",)]
