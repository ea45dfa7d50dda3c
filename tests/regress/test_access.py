"""Who may connect: the project's list of addresses, wrong passwords, and what status says of room."""

import json
import urllib.error

import psycopg2
import pytest


def refused(connect):
    with pytest.raises(psycopg2.OperationalError) as raised:
        connect()
    return str(raised.value)


def test_a_list_of_addresses_counts_at_once_and_after_a_restart(platform):
    project = platform.create_project("listed")
    assert project.query("select 1") == [(1,)]
    platform.cli("projects", "update", project.id, "--allow-ip", "192.0.2.0/24", "--allow-ip", "2001:db8::1")
    message = refused(project.connect)
    assert "This IP address 127.0.0.1 is not allowed to connect to this endpoint." in message \
        or "This IP address ::1 is not allowed to connect to this endpoint." in message
    assert "allowed_ips" in message
    platform.down()
    platform.up()
    assert "is not allowed to connect" in refused(project.connect)
    platform.cli("projects", "update", project.id, "--allow-ip", "127.0.0.0-127.0.0.9", "--allow-ip", "::1")
    assert project.query("select 1") == [(1,)]
    platform.cli("projects", "update", project.id, "--allow-all")
    assert project.query("select 1") == [(1,)]
    project.delete()


def test_a_list_that_makes_no_sense_is_refused(platform):
    project = platform.create_project("unlisted")
    done = platform.cli("projects", "update", project.id, "--allow-ip", "192.0.2.0/33", check=False)
    assert done.returncode != 0
    assert '"192.0.2.0/33" has no valid prefix length' in done.stderr
    with pytest.raises(urllib.error.HTTPError) as raised:
        platform.api("PATCH", f"/api/v2/projects/{project.id}",
                     {"project": {"settings": {"allowed_ips": {"ips": ["nowhere"]}}}})
    assert raised.value.code == 400
    assert json.loads(raised.value.read())["code"] == "INVALID_ALLOWED_IPS"
    assert project.query("select 1") == [(1,)]
    project.delete()


def test_a_flood_of_wrong_passwords_is_made_to_wait_and_then_forgotten(platform):
    project = platform.create_project("flooded")
    assert project.query("select 1") == [(1,)]
    wrong = project.connection_string().replace("npg_", "npg_x")
    messages = [refused(lambda: psycopg2.connect(wrong)) for _ in range(60)]
    assert "password authentication failed" in messages[0]
    assert "too many failed attempts to authenticate: wait" in messages[-1]
    other = platform.create_project("quiet")
    assert other.query("select 1") == [(1,)]
    project.delete()
    other.delete()


def test_status_says_how_many_clients_fit(platform):
    [proxy] = [part for part in platform.status()["components"] if part["name"] == "proxy"]
    assert "file descriptors for " in proxy["detail"]
