"""Handles of values: what they return, and what they refuse."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy
import pytest

from flowyml_aws import Lazy
from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.artifacts.lazy.handle import Facts, Source
from flowyml_aws.artifacts.lazy.memory import in_memory
from flowyml_aws.artifacts.lazy.pieces import LazyAccessError
from flowyml_aws.artifacts.values import encode_value
from flowyml_aws.core.errors import ChangedFileError


def counted(value: Any) -> tuple[Lazy[Any], list[Any]]:
    """Return a handle without pieces, and the list of its loads."""
    loads: list[Any] = []

    def load() -> Any:
        loads.append(value)
        return value

    return Lazy(Source(load, lambda: None, lambda: Facts(1, "ab")), "rows"), loads


def test_a_value_is_loaded_once_and_not_before_it_is_used() -> None:
    rows, loads = counted([1, 2])
    assert (rows.nbytes, rows.digest, repr(rows)) == (1, "ab", "<Lazy 'rows', not loaded>")
    assert not loads
    assert rows.load() is rows.load()
    assert loads == [[1, 2]]
    assert repr(rows) == "<Lazy 'rows', loaded>"


def test_a_value_without_pieces_is_loaded_for_its_items() -> None:
    rows, loads = counted({"a": [1]})
    rows["a"].append(2)
    assert (rows["a"], len(rows), len(loads)) == ([1], 1, 1)


def test_after_a_load_pieces_are_cut_from_the_loaded_value() -> None:
    source = Source(lambda: [1, 2], lambda: in_memory([3, 4]), lambda: Facts(0, ""))
    rows: Lazy[list[int]] = Lazy(source, "rows")
    assert rows[0] == 3
    rows.load()[0] = 5
    assert rows[0] == 5


def test_batches_cover_all_rows_in_order() -> None:
    rows = Lazy.of(numpy.arange(10))
    assert [batch.tolist() for batch in rows.batches(4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert list(rows) == list(range(10))
    assert list(Lazy.of([]).batches(3)) == []


@pytest.mark.parametrize("number", [0, -1, 2.5])
def test_a_batch_has_at_least_one_row(number: Any) -> None:
    with pytest.raises(LazyAccessError, match="positive integer"):
        Lazy.of([1]).batches(number)


def test_a_handle_in_memory_has_the_facts_of_the_stored_value() -> None:
    array = numpy.ones((3, 2), numpy.float32)
    rows, ref = Lazy.of(array), encode_value("rows", array).ref("")
    assert (rows.shape, rows.dtype, len(rows)) == ((3, 2), numpy.float32, 3)
    assert (rows.nbytes, rows.digest) == (ref.size_bytes, ref.sha256)


def test_numpy_reads_the_whole_value() -> None:
    assert numpy.mean(Lazy.of(numpy.array([1, 3]))) == 2


@pytest.mark.parametrize("use", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_handle_cannot_be_copied_or_pickled(use: Callable[[Any], Any]) -> None:
    with pytest.raises(LazyAccessError, match=r"can't be returned, stored, pickled or copied"):
        use(Lazy.of(1))


def test_a_value_that_contains_a_handle_cannot_be_stored() -> None:
    with pytest.raises(UnstorableValueError, match=r"\.load\(\)"):
        encode_value("result", {"rows": Lazy.of([1])})


@pytest.mark.parametrize(
    "use",
    [
        Lazy.load,
        len,
        lambda rows: rows[0],
        lambda rows: rows.columns(["a"]),
        lambda rows: rows.shape,
        lambda rows: rows.nbytes,
        lambda rows: next(rows.batches(1)),
    ],
)
def test_a_closed_handle_says_that_its_step_has_ended(use: Callable[[Any], Any]) -> None:
    rows = Lazy.of([1, 2], "rows")
    rows.close()
    with pytest.raises(LazyAccessError, match="the step that got it has ended"):
        use(rows)


def test_another_process_cannot_use_a_handle(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Lazy.of([1])
    monkeypatch.setattr(os, "getpid", lambda: 0)
    with pytest.raises(LazyAccessError, match="this is another one"):
        rows.load()


@pytest.mark.parametrize("name", ["shape", "dtype", "schema"])
def test_a_value_without_a_fact_says_which_values_have_it(name: str) -> None:
    with pytest.raises(LazyAccessError, match=f"A lazy int has no {name}"):
        getattr(Lazy.of(1), name)


def test_an_attribute_of_the_value_is_not_one_of_the_handle() -> None:
    with pytest.raises(AttributeError, match=r"use \.load\(\)\.mean"):
        _ = Lazy.of(numpy.ones(2)).mean


def test_an_invalid_slice_is_the_error_of_python() -> None:
    with pytest.raises(ValueError, match="zero"):
        _ = Lazy.of([1])[::0]


def test_an_error_of_the_source_is_raised_in_its_block() -> None:
    def fail() -> Any:
        raise ChangedFileError("it changed", "a reason", "a fix")

    blocks: list[None] = []
    source = Source(fail, fail, fail, lambda: blocks.append(None) or nullcontext())  # type: ignore[func-returns-value]
    rows: Lazy[Any] = Lazy(source, "rows")
    for use in (Lazy.load, len, lambda rows: rows.shape, lambda rows: rows.digest):
        with pytest.raises(ChangedFileError):
            use(rows)
    assert len(blocks) == 4
