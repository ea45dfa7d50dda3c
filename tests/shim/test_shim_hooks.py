"""The interposed calls one by one, from a small program that the shim takes for postgres."""

import os
import socket
import subprocess

import pytest

from shim.shim_harness import SHIM, TESTBED, PageService, as_postgres, give_to_postgres, run

PRELUDE = """
import ctypes, errno, os, signal, sys
PAGE = 8192
A = 'base/5/1000'
shim = ctypes.CDLL(None)
shim.halogen_shim_block_written.restype = ctypes.c_bool
def page(n, rel=1000): return (b'%d/%d.' % (rel, n) * PAGE)[:PAGE]
def written(path, block): return shim.halogen_shim_block_written(path.encode(), block)
def size(path): return os.stat(path).st_size
def fails(code, call, *arguments):
    try: call(*arguments)
    except OSError as error: assert error.errno == code, error
    else: raise AssertionError('did not fail')
"""


@pytest.fixture
def files(folder):
    """A data directory of two made-up relations and an SLRU, and how to run a program on it."""
    source = folder / "source"
    for name, rel, pages in (("base/5/1000", 1000, 300), ("base/5/2000", 2000, 10), ("base/5/3000", 3000, 0),
                             ("pg_xact/0000", 1, 4), ("pg_tblspc/16500/PG_15_202209061/5/7", 7, 2)):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(b"".join((b"%d/%d." % (rel, n) * 8192)[:8192] for n in range(pages)))
    (source / "PG_VERSION").write_text("15\n")
    give_to_postgres(source)
    run(TESTBED, "prepare", source, folder / "data", folder / "manifest", folder / "pages.sock", 2000, 0)

    def program(body, check=True, stdin=None, **environment):
        words = {"LD_PRELOAD": str(SHIM), "HALOGEN_SHIM_MANIFEST": str(folder / "manifest"),
                 "HALOGEN_SHIM_DATA": str(folder / "data"), "PATH": os.environ["PATH"], **environment}
        done = subprocess.run(["postgres", "-S", "-c", PRELUDE + body], executable="/usr/bin/python3", text=True,
                              env={k: v for k, v in words.items() if v}, cwd=folder / "data", stdin=stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **as_postgres())
        assert not check or done.returncode == 0, done.stdout
        return done

    with PageService(source, folder / "pages.sock"):
        yield program


def test_reads_fetch_what_is_absent(files):
    files("""
fd = os.open(A, os.O_RDONLY)
assert os.pread(fd, PAGE, 7 * PAGE) == page(7)
assert os.pread(fd, 100, 9 * PAGE - 50) == page(8)[-50:] + page(9)[:50]
assert os.preadv(fd, [b := bytearray(3 * PAGE)], 126 * PAGE) == 3 * PAGE and b == page(126) + page(127) + page(128)
assert os.pread(fd, 2 * PAGE, 299 * PAGE) == page(299)
assert os.pread(fd, PAGE, 300 * PAGE) == b''
os.lseek(fd, 20 * PAGE, os.SEEK_SET)
assert os.read(fd, PAGE) == page(20) and os.read(fd, PAGE) == page(21)
copy = os.dup(fd)
os.close(fd)
assert os.pread(copy, PAGE, 40 * PAGE) == page(40)
os.dup2(copy, 77)
assert os.pread(77, PAGE, 41 * PAGE) == page(41)
assert open('pg_xact/0000', 'rb').read() == b''.join(page(n, 1) for n in range(4))
assert os.pread(os.open('pg_tblspc/16500/PG_15_202209061/5/7', os.O_RDWR), PAGE, PAGE) == page(1, 7)
assert os.pread(os.open(os.getcwd() + '/./base//5/2000', os.O_RDWR), PAGE, PAGE) == page(1, 2000)
""")


def test_writes_make_blocks_local(files):
    files("""
fd = os.open(A, os.O_RDWR)
new = b'n' * PAGE
assert os.pwrite(fd, new * 3, 127 * PAGE) == 3 * PAGE      # Over the edge of a chunk, all absent.
assert os.pread(fd, 5 * PAGE, 126 * PAGE) == page(126) + new * 3 + page(130)
assert os.pwrite(fd, b'xy' * PAGE, 200 * PAGE + 100) == 2 * PAGE  # Absent edges keep their other bytes.
assert os.pread(fd, 3 * PAGE, 200 * PAGE) == page(200)[:100] + b'xy' * PAGE + page(202)[100:]
assert os.pwrite(fd, new * 2, 299 * PAGE) == 2 * PAGE      # Over the end at boot.
assert os.pread(fd, 3 * PAGE, 298 * PAGE) == page(298) + new * 2
os.lseek(fd, 50 * PAGE, os.SEEK_SET)
assert os.write(fd, b'short') == 5
assert os.pread(fd, PAGE, 50 * PAGE) == b'short' + page(50)[5:]
assert written(A, 128) and written(A, 50) and written(A, 201) and written(A, 300)
assert not written(A, 126) and not written(A, 203)
assert written('base/5/4444', 0) and written('base/5/2000.1', 0) and not written('base/5/2000', 0)
""")


def test_truncated_blocks_never_come_back(files):
    files("""
fd = os.open(A, os.O_RDWR)
os.ftruncate(fd, 100 * PAGE)
assert size(A) == 100 * PAGE and os.pread(fd, PAGE, 100 * PAGE) == b''
os.pwrite(fd, b'z' * PAGE, 150 * PAGE)
assert os.pread(fd, PAGE, 120 * PAGE) == bytes(PAGE)
assert os.pread(fd, PAGE, 99 * PAGE) == page(99)
os.truncate('base/5/2000', 5 * PAGE + 1)
assert open('base/5/2000', 'rb').read() == b''.join(page(n, 2000) for n in range(6))[:5 * PAGE + 1]
os.close(os.open(A, os.O_RDWR | os.O_TRUNC))
assert size(A) == 0
os.ftruncate(fd, PAGE)
assert os.pread(fd, PAGE, 0) == bytes(PAGE)
""")


def test_names_behave_as_if_the_files_were_there(files):
    files("""
fails(errno.EEXIST, os.open, A, os.O_RDWR | os.O_CREAT | os.O_EXCL)
assert size('base/5/2000') == 10 * PAGE and os.lstat('base/5/3000').st_size == 0
assert os.access('pg_xact/0000', os.R_OK)
fails(errno.ENOENT, os.stat, 'base/5/2001')
if os.fork() == 0:  # Not in the postmaster itself: it looks for temporary files only.
    assert sorted(os.listdir('base/5')) == ['1000', '2000', '3000']
    assert os.listdir('pg_tblspc/16500/PG_15_202209061/5') == ['7']
    os._exit(0)
assert os.wait()[1] == 0
""")


def test_the_postmaster_looks_without_making_files(files):
    files("""
assert os.listdir('base/5') == [] and os.listdir('pg_xact') == []
""")


def test_an_unlinked_name_is_another_file(files):
    files("""
fd = os.open(A, os.O_RDWR)
os.unlink(A)
fails(errno.ENOENT, os.stat, A)
fails(errno.ENOENT, os.unlink, A)
os.unlink('base/5/2000')  # Never made.
assert os.listdir('base/5') == []
new = os.open('base/5/2000', os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
assert os.pread(new, PAGE, 0) == b''
os.pwrite(new, b'mine', 3 * PAGE)
assert os.pread(new, PAGE, PAGE) == bytes(PAGE) and written('base/5/2000', 1)
os.rename('base/5/3000', 'base/5/3001')
assert not os.path.exists('base/5/3000') and size('base/5/3001') == 0
os.rename('pg_xact/0000', 'elsewhere')
assert open('elsewhere', 'rb').read() == b''.join(page(n, 1) for n in range(4))
""")


def test_prefetched_blocks_arrive_and_never_overwrite(files):
    files("""
fd = os.open(A, os.O_RDWR)
for n in range(0, 300, 2): os.posix_fadvise(fd, n * PAGE, PAGE, os.POSIX_FADV_WILLNEED)
os.pwrite(fd, b'w' * PAGE, 4 * PAGE)
os.close(fd)                       # Asked for through a descriptor that is gone by now.
fd = os.open(A, os.O_RDWR)
assert os.pread(fd, PAGE, 299 * PAGE) == page(299)
assert os.pread(fd, PAGE, 4 * PAGE) == b'w' * PAGE
for n in range(5, 300): assert os.pread(fd, PAGE, n * PAGE) == page(n)
""")


def test_forked_children_have_their_own_connection(files):
    files("""
fd = os.open(A, os.O_RDWR)
assert os.pread(fd, PAGE, 0) == page(0)
for child in range(4):
    if os.fork() == 0:
        for n in range(child, 300, 3): assert os.pread(fd, PAGE, n * PAGE) == page(n)
        os._exit(0)
for n in range(299, 0, -1): assert os.pread(fd, PAGE, n * PAGE) == page(n)
for child in range(4): assert os.wait()[1] == 0
""")


def test_a_killed_installer_blocks_nobody(files):
    files("""
import random, time
fd = os.open(A, os.O_RDWR)
for turn in range(60):
    child = os.fork()
    if child == 0:
        for n in range(turn * 5, 300): os.pread(fd, PAGE, n * PAGE)
        os._exit(0)
    time.sleep(random.random() * 0.004)
    os.kill(child, signal.SIGKILL)
    os.wait()
for n in range(300): assert os.pread(fd, PAGE, n * PAGE) == page(n)
""")


def test_children_of_the_server_do_not_inherit_the_shim(files):
    files("""
libc = ctypes.CDLL(None); libc.getenv.restype = ctypes.c_char_p
for name in (b'LD_PRELOAD', b'HALOGEN_SHIM_MANIFEST', b'HALOGEN_SHIM_DATA', b'HALOGEN_PDEATHSIG'):
    assert libc.getenv(name) is None
""", HALOGEN_PDEATHSIG=str(os.getpid()))


def test_random_bytes_differ_in_forked_children(files):
    files("""
libc = ctypes.CDLL(None)
def random(n):
    buffer = ctypes.create_string_buffer(n)
    assert libc.RAND_status() == 1 and libc.RAND_bytes(buffer, n) == 1
    return buffer.raw
seen = {random(16), random(16)}
assert len(random(100000).strip(b'\\0')) > 99000
for child in range(4):
    out, into = os.pipe()
    if os.fork() == 0:
        os.write(into, random(16))
        os._exit(0)
    seen.add(os.read(out, 16))
    os.wait()
assert len(seen) == 6
""")


def test_one_that_is_held_begins_with_what_it_reads(files, folder):
    log = folder / "log"
    log.touch()
    give_to_postgres(log)
    words = [f"HALOGEN_SHIM_MANIFEST={folder / 'manifest'}", f"HALOGEN_SHIM_DATA={folder / 'data'}",
             "HALOGEN_UNSAFE_WITHOUT=login_secret", "PGDATA=/some/where"]
    held = {"HALOGEN_SHIM_HOLD": "1", "HALOGEN_SHIM_MANIFEST": "", "HALOGEN_SHIM_DATA": ""}
    body = """
assert os.pread(os.open(A, os.O_RDONLY), PAGE, 7 * PAGE) == page(7)
libc = ctypes.CDLL(None); libc.getenv.restype = ctypes.c_char_p
assert libc.getenv(b'PGDATA') == b'/some/where' and libc.getenv(b'HALOGEN_SHIM_HOLD') is None
print('it went well', sys.stdin.read() == '')
"""

    def told(text, *logs):
        """A socket from which the program reads this; with it come descriptors."""
        ours, theirs = socket.socketpair()
        with ours:
            if text:
                socket.send_fds(ours, [text.encode()], [file.fileno() for file in logs])
        return theirs

    with open(log, "a") as output:
        done = files("import sys" + body, stdin=told("".join(word + "\0" for word in words), output), **held)
    assert done.stdout == "" and log.read_text() == "it went well True\n"
    done = files(body, stdin=told(""), **held)
    assert done.stdout == "" and done.returncode == 0
    for broken in ("PGDATA=/x", "x" * 9000 + "\0"):
        done = files(body, check=False, stdin=told(broken), **held)
        assert done.returncode == 1 and "what to start with is cut off" in done.stdout


@pytest.mark.parametrize("environment, why", [
    ({"HALOGEN_SHIM_DATA": ""}, "HALOGEN_SHIM_MANIFEST or HALOGEN_SHIM_DATA is not set"),
    ({"HALOGEN_SHIM_MANIFEST": "/nowhere"}, "cannot open /nowhere: No such file or directory"),
    ({"HALOGEN_SHIM_DATA": "data"}, "data is not an absolute path"),
    ({"HALOGEN_PDEATHSIG": "1"}, "the platform that started us is gone"),
])
def test_a_wrong_start_says_why(files, environment, why):
    done = files("", check=False, **environment)
    assert done.returncode == 1
    assert done.stdout.startswith(f"halogen shim: {why}"), done.stdout
