"""A program inside a compute sees and reaches nothing of the machine, of the platform, or of another tenant."""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from fixtures.platform import BIN, Platform, free_port, wait_until
from isolation import inside


def read_file(path):
    with open(path, "rb") as file:
        return file.read(1000).decode(errors="replace")


def secrets_of(platform):
    return [platform.home / name for name in ("catalog.db", "platform.json", "halogen.log", "catalog.keys")] + \
        list((platform.home / "certificates").glob("*.key"))


def test_no_file_of_the_platform_can_be_read(guarded, unguarded):
    for path in secrets_of(guarded):
        assert path.exists() and inside.call(guarded.project, read_file, str(path)) is None, path
    open_one = unguarded("rooms")
    assert inside.call(open_one.project, read_file, str(open_one.home / "catalog.db")).startswith("SQLite")


def list_folder(path):
    import os
    return sorted(os.listdir(path))


def test_no_file_of_another_compute_is_there(guarded, unguarded):
    assert inside.call(guarded.project, list_folder, guarded.victim.compute()["data_directory"]) is None
    assert inside.call(guarded.project, list_folder, guarded.victim.compute()["socket_folder"]) is None
    open_one = unguarded("rooms")
    assert "base" in inside.call(open_one.project, list_folder, open_one.victim.compute()["data_directory"])
    assert ".s.PGSQL.5432" in inside.call(open_one.project, list_folder, open_one.victim.compute()["socket_folder"])


def processes_seen():
    import os
    names = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            names.append(open(f"/proc/{pid}/comm").read().strip())
        except OSError:
            pass
    return sorted(set(names))


def test_no_process_but_the_computes_own_is_seen(guarded, unguarded):
    seen = inside.call(guarded.project, processes_seen)
    assert "postgres" in seen and "halogen" not in seen
    assert set(seen) <= {"postgres", "sh", "python3", "base64"}
    assert "halogen" in inside.call(unguarded("rooms").project, processes_seen)


def signal_process(pid):
    import os
    os.kill(pid, 0)
    return "reached"


def test_neither_the_platform_nor_another_compute_can_be_signalled(guarded, unguarded):
    for pid in (guarded.pid(), guarded.victim.compute()["pid"]):
        assert inside.call(guarded.project, signal_process, pid) is None
    open_one = unguarded("rooms")
    for pid in (open_one.pid(), open_one.victim.compute()["pid"]):
        assert inside.call(open_one.project, signal_process, pid) == "reached"


def connect(port):
    import socket
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    return "reached"


def test_the_platforms_ports_on_loopback_cannot_be_reached(guarded, unguarded):
    for port in (guarded.http_port, guarded.pg_port):
        assert inside.call(guarded.project, connect, port) is None
    open_one = unguarded("rooms")
    assert inside.call(open_one.project, connect, open_one.http_port) == "reached"


def system_call(number, *arguments):
    import ctypes
    import os
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(number, *arguments)
    return "done" if result >= 0 else os.strerror(ctypes.get_errno())


# x86_64's numbers, with arguments that an ordinary user's call succeeds with, or fails otherwise than by EPERM.
CALLS = {"ptrace": (101, 0, 0, 0, 0), "unshare a user namespace": (272, 0x10000000), "io_uring_setup": (425, 1, 0),
         "userfaultfd": (323, 1), "keyctl": (250, 0, -3, 1), "add_key": (248, 0, 0, 0, 0, 0), "bpf": (321, 99, 0, 0),
         "perf_event_open": (298, 0, 0, -1, -1, 0), "process_vm_readv": (310, 1, 0, 0, 0, 0, 0), "pidfd_getfd": (438, -1, 0, 0),
         "clone with a user namespace": (56, 0x10000011, 0, 0, 0, 0), "name_to_handle_at": (303, -100, 0, 0, 0, 0),
         "fsopen": (430, 0, 0), "mount": (165, 0, 0, 0, 0, 0)}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are this machine's")
@pytest.mark.parametrize("name", CALLS)
def test_system_calls_that_no_database_needs_are_denied(guarded, name):
    assert inside.call(guarded.project, system_call, *CALLS[name]) == "Operation not permitted"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are this machine's")
def test_without_a_room_those_system_calls_work(unguarded):
    project = unguarded("rooms").project
    for name in ("ptrace", "unshare a user namespace", "clone with a user namespace"):
        assert inside.call(project, system_call, *CALLS[name]) == "done", name


def test_what_it_writes_stays_in_its_own_folder(guarded, unguarded):
    script = "touch /usr/x /etc/x /config/x /halogen/x /x; cp /bin/true /compute/t; chmod 755 /compute/t; /compute/t"
    status, output = inside.run(guarded.project, script)
    assert status != 0 and output.count("Read-only file system") == 5 and "Permission denied" in output
    home = unguarded("rooms")
    status, output = inside.run(home.project, f"echo x > {home.home}/owned && cat {home.home}/owned")
    assert (status, output) == (0, "x\n")


def test_it_has_no_capability_and_its_own_user(guarded):
    status, output = inside.run(guarded.project, "grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status")
    said = dict(line.split(":\t", 1) for line in output.splitlines())
    assert int(said["CapEff"], 16) == int(said["CapBnd"], 16) == 0 and said["NoNewPrivs"] == "1" and said["Seccomp"] == "2"
    if guarded.status()["isolation"]["computes"] == "rooms, each as a user of its own":
        others = re.search(r"Uid:\t(\d+)", Path(f"/proc/{guarded.victim.compute()['pid']}/status").read_text())[1]
        assert len({said["Uid"].split()[0], others, str(os.stat(guarded.home).st_uid)}) == 3


def oom_score(pid):
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_one_that_takes_all_memory_goes_before_the_platform(guarded):
    with contextlib.closing(guarded.project.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        postmaster = guarded.project.compute()["pid"]
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        backend = max(oom_score(pid) for pid in children)
    assert oom_score(guarded.pid()) < oom_score(postmaster) < backend


def group_of(pid):
    return re.search(r"^0::(.*)$", Path(f"/proc/{pid}/cgroup").read_text(), re.M)[1]


def test_each_compute_has_its_share_where_the_kernel_gives_shares(guarded):
    shares = guarded.status()["isolation"]["shares"]
    pids = [guarded.pid(), guarded.project.compute()["pid"], guarded.victim.compute()["pid"]]
    if shares.startswith("by control groups"):
        assert len({group_of(pid) for pid in pids}) == 3
    else:
        assert shares.startswith("only limits of each process: ") and len({group_of(pid) for pid in pids}) == 1


def rooms_of(platform):
    """The processes that have a room of this platform's as their root, or are its warden's."""
    markers = {(m.stat().st_dev, m.stat().st_ino) for m in (platform.home / "compute/.rooms").glob(".warden-*")}
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            info = (process / "root/.halogen").stat()
            if (info.st_dev, info.st_ino) in markers:
                found.append(int(process.name))
    return found


def named(pids, name):
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                found.append(pid)
    return found


def namespaces_of(pid):
    """In how many pid namespaces it is: the guardian in the machine's alone, the warden in one more, a room's in two."""
    return len(re.search(r"NSpid:\t(.*)", Path(f"/proc/{pid}/status").read_text())[1].split())


def test_whoever_is_killed_nothing_of_a_compute_is_left():
    with Platform.create("killed") as platform:
        with platform.watch_log():
            platform.expect_log("postgres ended unexpectedly")
            project = platform.create_project()
            project.query("SELECT 1")
            inside.run(project, "setsid sleep 1000 > /dev/null 2>&1 &")
            assert named(rooms_of(platform), "sleep")
            os.kill(project.compute()["pid"], signal.SIGKILL)
            wait_until(lambda: not named(rooms_of(platform), "sleep"), what="the end of the postmaster's room")

            project.query("SELECT 1")
            before = project.compute()["pid"]
            (warden,) = [pid for pid in rooms_of(platform) if namespaces_of(pid) == 2]
            os.kill(warden, signal.SIGKILL)
            wait_until(lambda: before not in rooms_of(platform), what="the end of all rooms")
            assert project.query("SELECT 1") == [(1,)], "the warden is replaced"

            inside.run(project, "setsid sleep 1000 > /dev/null 2>&1 &")
            platform.kill()
            wait_until(lambda: not rooms_of(platform), what="the end of everything")
        platform.up()
        assert project.query("SELECT 1") == [(1,)]


CLONE_NEWUSER = 0x10000000


def enter_container(further_namespaces):
    """As a container has it: a user namespace around us, in which there may or may not be others."""
    ready, tell = os.pipe()
    pid, root = os.getpid(), os.geteuid() == 0
    mapper = os.fork()
    if mapper == 0:
        os.close(tell)
        os.read(ready, 1)
        if not root:
            Path(f"/proc/{pid}/setgroups").write_text("deny")
        for file, own in (("uid_map", os.geteuid()), ("gid_map", os.getegid())):
            Path(f"/proc/{pid}/{file}").write_text("0 0 65536" if root else f"{own} {own} 1")
        os._exit(0)
    assert ctypes.CDLL(None).unshare(CLONE_NEWUSER) == 0
    os.write(tell, b"x")
    assert os.waitpid(mapper, 0)[1] == 0
    if not further_namespaces:
        Path("/proc/sys/user/max_user_namespaces").write_text("0")


def up_in_container(home, *arguments, further_namespaces):
    ports = ["--pg-port", str(free_port()), "--http-port", str(free_port())]
    return subprocess.run([BIN, "up", "--detach", *ports, *arguments], env=dict(os.environ, HALOGEN_HOME=home), text=True,
                          capture_output=True, timeout=120, preexec_fn=lambda: enter_container(further_namespaces))


def test_in_an_unprivileged_container_there_are_rooms():
    with Platform.home_folder("container") as home:
        platform = Platform(home, 0, 0)
        done = up_in_container(home, further_namespaces=True)
        try:
            assert done.returncode == 0, done.stderr
            assert platform.status()["isolation"]["computes"] == "rooms, all as one user"
            assert platform.cli("psql", "--", "-Atc", "SHOW data_directory").startswith("/compute/")
        finally:
            platform.down()


def test_where_there_can_be_no_rooms_up_says_so_and_goes_on_only_without():
    with Platform.home_folder("container") as home:
        platform = Platform(home, 0, 0)
        done = up_in_container(home, further_namespaces=False)
        assert done.returncode != 0 and "does not let Halogen keep computes apart (user namespaces" in done.stderr
        assert "start with --isolation=none" in done.stderr
        done = up_in_container(home, "--isolation=none", further_namespaces=False)
        try:
            assert done.returncode == 0, done.stderr
            assert platform.status()["isolation"]["computes"] == "none"
            assert "WARNING: tenants are not isolated: without rooms" in platform.cli("status")
            assert platform.cli("psql", "--", "-Atc", "SELECT 1") == "1\n"
        finally:
            platform.down()
