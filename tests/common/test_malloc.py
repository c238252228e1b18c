import os
from pathlib import Path

from service.common.malloc import trim


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_that_was_freed_goes_back_to_the_system() -> None:
    blocks = [bytes(5000) for _ in range(20_000)]
    last = blocks[-1]  # a block at the end keeps the heap from being trimmed
    del blocks
    before = _resident()

    trim()

    assert _resident() < before - 50_000_000
    assert len(last) == 5000
