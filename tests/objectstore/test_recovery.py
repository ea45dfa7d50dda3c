"""What is copied to an object store brings everything back: the pageserver's disk, or the whole machine."""

import shutil
import time

import pytest

from fixtures.object_store import FAST, component, digest, fill, wait_until_copied
from fixtures.platform import Platform, wait_until
from fixtures.s3 import BUCKET, FaultyProxy
from objectstore.conftest import SLOW


def bring_back(lost, folder, *arguments, environment=None):
    """A platform on a new machine: another home, other ports."""
    return Platform.create("new", "--object-store-key-file", str(folder / "key"), *FAST, *arguments, environment=environment)


def lose_home(platform):
    platform.kill()
    shutil.rmtree(platform.home)


@pytest.mark.parametrize("kind", ["file", "s3", *SLOW])
def test_a_lost_machine_comes_back_with_all_but_the_last_seconds(folder, kind, request):
    with FaultyProxy(request.getfixturevalue("s3" if kind == "file" else kind), rate=0.1, delay=0.01) as proxy:
        url = f"file://{folder}/objects" if kind == "file" else f"s3://{BUCKET}/{folder.name}"
        more = () if kind == "file" else ("--object-store-endpoint", f"http://127.0.0.1:{proxy.port}")
        environment = None if kind == "file" else proxy.service.credentials()
        with Platform.create("old", "--object-store", url, "--object-store-key-file", str(folder / "key"), *more, *FAST,
                             environment=environment) as old:
            project = old.create_project()
            fill(project)
            project.create_branch("dev")
            project.query("delete from t where i % 2 = 0", branch="dev")
            project.query("update t set filler = 'changed' where i % 3 = 0")
            wait_until_copied(old)
            expected, of_branch = digest(project), digest(project, "dev")
            string = project.connection_string()
            authority = (old.home / "certificates/ca.crt").read_text()
            lose_home(old)

        with bring_back(old, folder, "--from", url, *more, environment=environment) as new:
            back = type(project)(new, project.id)
            assert digest(back) == expected
            assert digest(back, "dev") == of_branch
            # Passwords and the authority that clients trust are the same.
            password = lambda text: text.split("@")[0]
            assert password(back.connection_string()) == password(string)
            assert (new.home / "certificates/ca.crt").read_text() == authority
            back.query("insert into t values (-1, 'goes on')")
            wait_until(lambda: component(new, "object store")["state"] == "running", seconds=60, what="the first copy from here")
            wait_until_copied(new)
            new.check_storage()


def test_under_load_at_most_the_stated_seconds_are_lost(folder):
    """Writers note what was acknowledged and when; what is older than the interval and a second is back."""
    url = f"file://{folder}/objects"
    with Platform.create("old", "--object-store", url, "--object-store-key-file", str(folder / "key"), *FAST) as old:
        project = old.create_project()
        project.query("create table log (id serial primary key, at timestamptz default clock_timestamp(), filler text)")
        connection = project.connect()
        acknowledged = []
        until = time.monotonic() + 12
        with connection.cursor() as cursor:
            while time.monotonic() < until:
                cursor.execute("insert into log (filler) select repeat(md5(random()::text), 30) returning id")
                acknowledged.append((cursor.fetchone()[0], time.monotonic()))
        lost_at = time.monotonic()
        lose_home(old)
    # A second until the safekeeper tells, the interval, and what copying takes on a busy machine.
    due = [id for id, at in acknowledged if at < lost_at - 5]
    assert len(due) > 100
    with bring_back(old, folder, "--from", url) as new:
        back = type(project)(new, project.id)
        found = {id for (id,) in back.query("select id from log")}
        assert not set(due) - found
        assert not found - {id for id, _ in acknowledged} - {acknowledged[-1][0] + 1}, "invented rows"


def test_a_pageserver_that_lost_its_disk_comes_back_and_nothing_is_lost(folder):
    url = f"file://{folder}/objects"
    with Platform.create("pages", "--object-store", url, *FAST) as platform:
        project = platform.create_project()
        fill(project)
        project.create_branch("dev")
        wait_until_copied(platform)
        # Not waited for: this is in the safekeeper's WAL.
        project.query("update t set filler = 'late' where i < 5000")
        project.query("delete from t where i > 100", branch="dev")
        expected, of_branch = digest(project), digest(project, "dev")
        platform.kill()
        shutil.rmtree(platform.home / "pageserver")
        platform.up()
        assert digest(project) == expected
        assert digest(project, "dev") == of_branch
        platform.check_storage()


def test_a_platform_that_was_left_behind_overwrites_nothing(folder):
    url = f"file://{folder}/objects"
    key = ("--object-store-key-file", str(folder / "key"))
    with Platform.create("old", "--object-store", url, *key, *FAST) as old:
        project = old.create_project()
        fill(project, 1000)
        wait_until_copied(old)
        with bring_back(old, folder, "--from", url) as new:
            back = type(project)(new, project.id)
            back.query("delete from t where i > 10")
            wait_until_copied(new)
            wait_until(lambda: component(old, "object store")["state"] == "fenced", what="the old one's finding out")
            project.query("insert into t select i, 'stale' from generate_series(2001, 3000) i")
            assert project.query("select count(*) from t") == [(2000,)]  # Its own data is as good as ever.
            time.sleep(1)
            lose_home(new)
        old.down()
        old.up()  # Nor does it after a restart.
        wait_until(lambda: component(old, "object store")["state"] == "fenced", what="the old one's finding out again")
        with bring_back(old, folder, "--from", url) as newer:
            assert type(project)(newer, project.id).query("select count(*) from t") == [(10,)]


def test_nothing_stalls_while_the_store_is_away(folder, s3):
    with FaultyProxy(s3) as proxy:
        with Platform.create("away", "--object-store", f"s3://{BUCKET}/{folder.name}", "--object-store-endpoint",
                             f"http://127.0.0.1:{proxy.port}", *FAST, environment=s3.credentials()) as platform:
            project = platform.create_project()
            fill(project, 1000)
            wait_until_copied(platform)
            proxy.away = True
            began = time.monotonic()
            project.query("insert into t select i, 'away' from generate_series(2000, 9000) i")
            project.suspend()
            assert project.query("select count(*) from t") == [(8001,)]
            assert time.monotonic() - began < 20
            wait_until(lambda: component(platform, "object store")["state"] == "away", what="the news")
            platform.kill()
            platform.up()  # Without it, too.
            assert project.query("select count(*) from t") == [(8001,)]
            proxy.away = False
            wait_until(lambda: component(platform, "object store")["state"] == "running", seconds=60, what="the store's return")
            wait_until_copied(platform)


def test_the_check_finds_damage_in_the_store(folder):
    url = f"file://{folder}/objects"
    with Platform.create("checked", "--object-store", url, *FAST) as platform:
        project = platform.create_project()
        fill(project, 3000)
        wait_until_copied(platform)
        platform.check_storage()
        layers, pieces = [sorted((folder / "objects").glob(f"timelines/*/{kind}/*"), key=lambda path: path.stat().st_size)
                          for kind in ("layers", "wal")]
        for path, problem in ((layers[-1], "its checksum does not match"), (pieces[-1], "its checksum does not match")):
            whole = path.read_bytes()
            path.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
            done = platform.cli("storage", "check", check=False)
            assert done.returncode != 0 and problem in done.stdout, done.stdout
            assert platform.cli("storage", "check", "--here-alone", check=False).returncode == 0
            path.write_bytes(whole)
        layers[-1].rename(folder / "away")
        assert "there is no object" in platform.cli("storage", "check", check=False).stdout
        (folder / "away").rename(layers[-1])
        shutil.move(folder / "objects", folder / "moved")
        assert platform.cli("storage", "check", check=False).returncode != 0
        shutil.move(folder / "moved", folder / "objects")
        platform.cli("storage", "check")


def test_an_empty_home_and_a_used_store_are_told_apart(folder):
    url = f"file://{folder}/objects"
    with Platform.create("old", "--object-store", url, *FAST) as old:
        old.create_project()
        wait_until_copied(old)
        refused = old.cli("up", "--from", url, check=False)
        assert refused.returncode != 0
        old.down()
        refused = old.cli("up", "--detach", "--from", url, "--pg-port", str(old.pg_port), "--http-port", str(old.http_port), check=False)
        assert "has data already" in refused.stderr
        with Platform.home_folder("other") as home:
            other = Platform(home, old.pg_port, old.http_port, "--from", url)
            refused = other.up(check=False)
            assert "keys of the catalog's passwords are not in the store" in refused.stderr
            other.up_arguments = ("--from", f"file://{folder}/nothing")
            assert "there is no platform's data" in other.up(check=False).stderr
