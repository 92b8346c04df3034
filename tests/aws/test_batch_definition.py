from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.aws.batch_definition import shared_memory_mib


@pytest.mark.parametrize(
    ("memory_mib", "shared_mib"),
    [(1, 64), (128, 64), (256, 128), (2048, 1024), (3000, 1024), (61440, 16384), (65536, 32768)],
)
def test_shared_memory_is_up_to_half_the_jobs_memory(memory_mib: int, shared_mib: int) -> None:
    assert shared_memory_mib(memory_mib) == shared_mib


@given(st.integers(1, 4 * 1024 * 1024))
def test_there_are_few_sizes_of_shared_memory(memory_mib: int) -> None:
    shared_mib = shared_memory_mib(memory_mib)
    assert shared_mib.bit_count() == 1
    assert 64 <= shared_mib <= max(64, memory_mib // 2) < 4 * max(64, shared_mib)
