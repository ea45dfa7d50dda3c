"""What a wake finds prepared: a postmaster that waits has mapped, and touched, the shared memory that a new compute asks for."""

import re
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src/compute/shim/hooks_memory.cc"


def test_the_usual_size_is_that_of_a_new_compute(platform):
    """With quite another a wake takes milliseconds more, and nothing else would tell. A minor release may need a little more or less."""
    usual = int(re.search(r"kUsual = (\d+);", SOURCE.read_text()).group(1))
    [(asked_for,)] = platform.create_project().query("select sum(allocated_size) from pg_shmem_allocations")
    assert abs(asked_for - usual) < 128 << 10
