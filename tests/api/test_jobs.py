"""Jobs of pg_cron: they wake a compute, keep it awake while they run, and run as nobody but their role."""

import re
from pathlib import Path

import psycopg2
import pytest

from fixtures.platform import wait_until

pytestmark = pytest.mark.skipif(not Path("/usr/lib/postgresql/15/lib/pg_cron.so").exists(), reason="needs postgresql-15-cron")

JOB = "insert into ran values (current_user); select pg_sleep(4)"
# What the launcher, a superuser, would find by this search_path in place of Postgres' own.
PLANTED = """
    create schema planted;
    create table planted.seen (who text);
    create function planted.same(text, text) returns bool language plpgsql as
      $$ begin insert into planted.seen values (current_user); return true; end $$;
    create operator planted.= (leftarg = text, rightarg = text, function = planted.same);
    alter database neondb set search_path = planted, public, pg_catalog"""


def endpoint(platform, project):
    return platform.api("GET", f"/api/v2/projects/{project.id}/endpoints/{project.endpoint()}")["endpoint"]


@pytest.fixture
def scheduled(own_platform):
    """A project with pg_cron, and a suspended compute that is soon suspended again."""
    project = own_platform.create_project()
    own_platform.set_suspend_timeout(project, 1)
    libraries = {"preload_libraries": {"enabled_libraries": ["pg_cron"]}}
    own_platform.api("PATCH", f"/api/v2/projects/{project.id}", {"project": {"settings": libraries}})
    project.query("create extension pg_cron")
    project.query("create table ran (who text)")
    yield own_platform, project


def insert_foreign_job(project):
    """As its row says, it is the platform's superuser's."""
    try:
        project.query("insert into cron.job (schedule, command, nodeport, username) values ('* * * * *', %s, 5432, 'cloud_admin')", JOB)
    except psycopg2.errors.InsufficientPrivilege as refused:
        assert "row-level security" in str(refused)


def test_a_job_wakes_the_compute_and_only_its_role_runs_it(scheduled):
    platform, project = scheduled
    assert project.query("select cron.schedule('mine', '* * * * *', %s)", JOB) == [(1,)]
    insert_foreign_job(project)
    project.suspend()
    # It may have been suspended just when the next minute was near, and be awake again.
    wait_until(lambda: endpoint(platform, project).get("next_job_at", "").endswith(":00Z"), seconds=120, what="its next job")
    suspended = re.compile("woken for a job of pg_cron.*compute suspended at", re.S)
    wait_until(lambda: suspended.search(platform.log_text()), seconds=150, what="a wake for the job and a suspend after it")
    # Whole: it was not cut off, though the compute may idle for a second only.
    assert set(project.query("select who from ran")) == {("neondb_owner",)}
    assert project.query("select distinct username from cron.job_run_details") == [("neondb_owner",)]
    project.query("select cron.unschedule('mine')")
    project.query("delete from cron.job")

    project.query(PLANTED)
    project.suspend()
    assert "next_job_at" not in endpoint(platform, project)
    assert project.query("select who from ran where true limit 1") == [("neondb_owner",)]
    log = Path(project.compute()["log_file"])
    wait_until(lambda: "is not the platform's" in log.read_text(), what="the launcher meeting what was planted")
    assert project.query("select who from planted.seen") == []


def test_rows_of_a_table_that_only_looks_like_the_extensions_are_not_read(scheduled):
    platform, project = scheduled
    project.query("drop extension pg_cron cascade")
    project.query("create schema if not exists cron")
    project.query("create table cron.seen (who text)")
    project.query("create function cron.schedule() returns text language plpgsql as "
                  "$$ begin insert into cron.seen values (current_user); return '* * * * *'; end $$")
    project.query("create view cron.job as select cron.schedule() as schedule, true as active")
    project.suspend()
    assert "next_job_at" not in endpoint(platform, project)
    assert project.query("select who from cron.seen") == []
