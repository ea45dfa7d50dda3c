"""Each mistake gets a message that says what happened and what to do."""

import os
import re
import socket
import subprocess
import tempfile

import psycopg2
import pytest

from fixtures.platform import BIN, free_port


def refused(string):
    with pytest.raises(psycopg2.OperationalError) as caught:
        psycopg2.connect(string)
    return str(caught.value)


def test_plaintext_is_refused_with_the_cure(project):
    message = refused(project.connection_string().replace("sslmode=require", "sslmode=disable"))
    assert "connection is insecure (try using `sslmode=require`)" in message


def test_wrong_password_and_unknown_role_read_the_same(project):
    string = project.connection_string()
    wrong = refused(re.sub(r":[^:@/]+@", ":wrong@", string))
    assert 'password authentication failed for user "neondb_owner"' in wrong
    unknown = refused(re.sub(r"//[^@]+@", "//nobody:wrong@", string))
    assert 'password authentication failed for user "nobody"' in unknown


def test_unknown_endpoint_reveals_nothing(project):
    string = project.connection_string()
    message = refused(string.replace(project.endpoint(), "ep-no-such-00000000"))
    assert 'password authentication failed for user "neondb_owner"' in message


def test_unknown_database_says_so(project):
    assert 'database "nope" does not exist' in refused(project.connection_string().replace("/neondb?", "/nope?"))


def test_endpoint_by_option_and_by_password_prefix(project):
    match = re.match(r"postgresql://([^:]+):([^@]+)@([^:/]+):(\d+)/([^?]+)", project.connection_string())
    user, password, host, port, database = match.groups()
    endpoint = project.endpoint()
    by_option = psycopg2.connect(host="127.0.0.1", port=port, user=user, password=password, dbname=database,
                                 sslmode="require", sslsni=0, options=f"endpoint={endpoint}")
    by_option.close()
    by_prefix = psycopg2.connect(host="127.0.0.1", port=port, user=user, password=f"endpoint={endpoint};{password}",
                                 dbname=database, sslmode="require", sslsni=0)
    by_prefix.close()


def test_channel_binding_works(project):
    psycopg2.connect(project.connection_string() + "&channel_binding=require").close()


def test_a_second_up_on_the_same_home_is_refused_and_harms_nothing(project, platform):
    done = platform.cli("up", "--detach", "--pg-port", str(free_port()), "--http-port", str(free_port()), check=False)
    assert done.returncode != 0
    assert re.search(r"already runs|already running", done.stderr) and str(platform.pid()) in done.stderr
    assert project.query("select 1") == [(1,)]


def refused_up(*wrap, **ports):
    """What `up` says to standard error on a home of its own, started through the command `wrap`."""
    with tempfile.TemporaryDirectory(prefix="halogen-refused-", dir="/var/tmp") as home:
        os.chmod(home, 0o755)
        ports = {"pg": free_port(), "http": free_port(), **ports}
        done = subprocess.run([*wrap, BIN, "up", "--detach", "--pg-port", str(ports["pg"]), "--http-port", str(ports["http"])],
                              env=dict(os.environ, HALOGEN_HOME=home), text=True, capture_output=True, timeout=60)
    assert done.returncode != 0, done.stdout
    return done.stderr


@pytest.mark.parametrize("which", ["pg", "http"])
def test_a_taken_port_is_named_with_who_has_it_and_the_way_around(which):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        told = refused_up(**{which: port})
    assert f"port {port} on 127.0.0.1 is already in use" in told and f"(pid {os.getpid()})" in told
    assert f"--{which}-port" in told


def test_a_missing_postgres_package_is_named_with_the_command_that_installs_it():
    """In a mount namespace, an empty folder over the real one."""
    space = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    told = refused_up(*space, "sh", "-c", 'mount -t tmpfs none /usr/lib/postgresql/15/bin && exec "$@"', "sh")
    assert "PostgreSQL 15 is not installed" in told and "sudo apt-get install postgresql-15" in told


def test_cli_errors_name_the_next_step(platform):
    done = platform.cli("connection-string", "--project", "no-such-project", check=False)
    assert done.returncode != 0 and "no-such-project" in done.stderr and "projects list" in done.stderr


def test_cli_without_a_platform_says_how_to_start_one():
    env = dict(os.environ, HALOGEN_HOME="/var/tmp/halogen-nothing-here")
    done = subprocess.run([BIN, "projects", "list"], env=env, text=True, capture_output=True)
    assert done.returncode != 0 and "halogen up" in done.stderr
