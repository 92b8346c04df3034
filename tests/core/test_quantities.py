from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.core.errors import InvalidQuantityError
from flowyml_aws.core.quantities import (
    cpu_millis,
    exact_cpu,
    exact_memory,
    memory_bytes,
    memory_mib,
)


@pytest.mark.parametrize(
    ("written", "cores"),
    [
        ("4", 4),
        (4, 4),
        ("2.5", Fraction(5, 2)),
        (2.5, Fraction(5, 2)),
        ("500m", Fraction(1, 2)),
        ("1500m", Fraction(3, 2)),
        (".5", Fraction(1, 2)),
        ("2.", 2),
        ("1e1", 10),
        (" 8 ", 8),
        ("1k", 1000),
    ],
)
def test_cpu_is_read_in_cores(written: Any, cores: Fraction) -> None:
    assert exact_cpu(written) == cores


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("16Gi", 16 * 2**30),
        ("8192Mi", 8 * 2**30),
        ("16G", 16 * 10**9),
        ("16GB", 16 * 10**9),
        ("1.5Gi", 3 * 2**29),
        ("1Ti", 2**40),
        ("5000Ki", 5000 * 1024),
        ("1e9", 10**9),
        (2**30, 2**30),
        (1e10, 10**10),
        ("1E", 10**18),
        ("16 Gi", 16 * 2**30),
    ],
)
def test_memory_is_read_in_bytes(written: Any, size: int) -> None:
    assert exact_memory(written) == size


@pytest.mark.parametrize(
    "written",
    [
        *("", "four", "4 cores", "-1", "0", "4Gib", "16gi", "1,5", "4e", "nan", "1e99999", "٤"),
        *(0, -2, float("nan"), float("inf"), True, None, [4]),
    ],
)
def test_an_invalid_quantity_is_an_error_that_shows_it(written: Any) -> None:
    for read in (exact_cpu, exact_memory):
        with pytest.raises(InvalidQuantityError) as caught:
            read(written)
        assert repr(written) in caught.value.what


def test_memory_as_cpu_is_an_error() -> None:
    with pytest.raises(InvalidQuantityError):
        exact_cpu("16Gi")


def test_memory_with_a_forgotten_unit_is_an_error_that_suggests_one() -> None:
    with pytest.raises(InvalidQuantityError, match="16Gi"):
        exact_memory(16)


def test_amounts_are_rounded_up_to_whole_units() -> None:
    assert cpu_millis("0.0005") == 1
    assert cpu_millis("1.0001") == 1001
    assert memory_bytes("5000000500m") == 5000001
    assert memory_mib(f"{2**30 + 1}") == 1025


@given(st.integers(1, 10**8))
def test_cpu_millis_round_trip(millis: int) -> None:
    assert cpu_millis(f"{millis}m") == millis


@given(st.integers(4, 10**7))
def test_mebibytes_round_trip(size: int) -> None:
    assert memory_mib(f"{size}Mi") == size
    assert memory_bytes(size * 2**20) == size * 2**20


@given(st.text(max_size=8))
def test_any_string_is_parsed_or_rejected(text: str) -> None:
    for read in (exact_cpu, exact_memory):
        try:
            assert read(text) > 0
        except InvalidQuantityError as error:
            assert repr(text) in error.what
