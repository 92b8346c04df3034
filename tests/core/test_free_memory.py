from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from flowyml_aws.core.free_memory import return_free_memory

BLOCK_BYTES = 4096
BLOCKS = 10_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text("utf-8").split()[1]) * 4096


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc")
def test_memory_that_was_freed_between_used_blocks_is_returned() -> None:
    blocks: list[bytearray | None] = [bytearray(BLOCK_BYTES) for _ in range(BLOCKS)]
    for number in range(BLOCKS):
        if number % 100:
            blocks[number] = None
    before = resident_bytes()
    return_free_memory()
    assert before - resident_bytes() > BLOCKS * BLOCK_BYTES / 2
