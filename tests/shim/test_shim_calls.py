"""No libc call of the server's on files is overlooked, and the library stays light."""

import subprocess

from fixtures.platform import ROOT
from shim.shim_harness import PG_BIN, SHIM

LIST = ROOT / "src/compute/shim/server_calls.txt"


def symbols(path, which):
    lines = subprocess.run(["nm", "-D", which, str(path)], text=True, check=True, stdout=subprocess.PIPE).stdout
    return [line.split()[-1] for line in lines.splitlines()]


def known_calls():
    known = {"hooked": set(), "passes": set(), "other": set()}
    for line in LIST.read_text().splitlines():
        kind, _, names = line.partition(" ")
        if kind in known:
            known[kind].update(names.split(":")[0].split())
    return known


def test_every_call_of_the_server_has_been_thought_of():
    known = set().union(*known_calls().values())
    called = {name.split("@")[0] for name in symbols(PG_BIN / "postgres", "--undefined-only") if "@GLIBC" in name}
    assert len(called) > 200
    unknown = sorted(called - known)
    assert not unknown, f"say in {LIST} what the shim does about {unknown}"


def test_what_the_list_calls_hooked_is_interposed():
    exported = set(symbols(SHIM, "--defined-only"))
    assert known_calls()["hooked"] <= exported
    assert "halogen_shim_block_written" in exported


def test_the_library_needs_libc_only():
    text = subprocess.run(["readelf", "-d", str(SHIM)], text=True, check=True, stdout=subprocess.PIPE).stdout
    needed = [line.split("[")[1].rstrip("]") for line in text.splitlines() if "(NEEDED)" in line]
    assert needed == ["libc.so.6"]
