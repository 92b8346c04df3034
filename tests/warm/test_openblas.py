"""Threads of OpenBLAS in forks."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from flowyml_aws.warm.openblas import loaded_openblas, threads_at_load


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({}, 8),
        ({"OMP_NUM_THREADS": "2"}, 2),
        ({"OPENBLAS_NUM_THREADS": "3", "OMP_NUM_THREADS": "2"}, 3),
        ({"OPENBLAS_NUM_THREADS": "0", "GOTO_NUM_THREADS": "5"}, 5),
        ({"OPENBLAS_NUM_THREADS": "many"}, 8),
        ({"OPENBLAS_NUM_THREADS": "64"}, 8),
    ],
)
def test_openblas_uses_the_threads_of_the_first_valid_variable(
    environment: Mapping[str, str], threads: int
) -> None:
    assert threads_at_load(environment, 8) == threads


def test_each_openblas_is_found_once_in_a_memory_map() -> None:
    lines = [
        "7f1-7f2 r-xp 0000 00:1 9    /env/numpy.libs/libscipy_openblas64_-32a4.so",
        "7f2-7f3 rw-p 0000 00:1 9    /env/numpy.libs/libscipy_openblas64_-32a4.so",
        "7f4-7f5 r-xp 0000 00:1 9    /env/my openblas/libother.so",
        "7f6-7f7 r-xp 0000 00:1 9    /usr/lib/libopenblas.so.0",
        "7f8-7f9 rw-p 0000 00:0 0",
    ]
    assert loaded_openblas("\n".join(lines)) == [
        "/env/numpy.libs/libscipy_openblas64_-32a4.so",
        "/usr/lib/libopenblas.so.0",
    ]
