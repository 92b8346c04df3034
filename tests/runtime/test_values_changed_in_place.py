"""Every reader of a value gets it as its producer returned it, whatever other readers do to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from flowyml_aws import step
from flowyml_aws.core.step import Step
from flowyml_aws.runtime.copies import MAX_COPIED_BYTES, shared_between
from flowyml_aws.runtime.runner import JobRunner
from tests.runtime.harness import WrittenRun

LARGE = MAX_COPIED_BYTES // 8 + 1  # items of 8 bytes


def in_group(
    function: Callable[..., Any], inputs: list[str], outputs: list[str], **options: Any
) -> Step:
    return step(inputs=inputs, outputs=outputs, execution_group="g", retry_delay=0.0, **options)(
        function
    )


def ended(folder: Path, *steps: Step, **options: Any) -> JobRunner:
    runner = WrittenRun(folder, *steps, **options).runner()
    runner.run()
    return runner


def failure(runner: JobRunner, name: str) -> str:
    report = runner.attempt.progress[name]
    return "" if report.failure is None else report.failure.text


@dataclass
class Record:
    items: list[int] = field(default_factory=lambda: [1])


def append(value: list[int]) -> None:
    value.append(9)


def set_first(value: Any) -> None:
    value[0] = 9


def add_item(value: dict[str, list[int]]) -> None:
    value["a"].append(9)


def change_record(value: Record) -> None:
    value.items.append(9)


def add_column(value: pd.DataFrame) -> None:
    value["new"] = 9


def change_cell(value: pd.DataFrame) -> None:
    value.loc[0, "x"] = 9


def insert_column(value: pl.DataFrame) -> None:
    value.insert_column(0, pl.Series("new", [9]))


def change_nested(value: tuple[Any, ...]) -> None:
    value[0]["array"][0] = 9


def name_index(value: Any) -> None:
    value.index.name = "changed"
    value.columns.name = "changed"


def rename_levels(value: Any) -> None:
    value.index.names = ["p", "q"]


def rename_fields(value: Any) -> None:
    value.dtype.names = ("p", "q")


CHANGES: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
    "list": (lambda: [1], append),
    "dict": (lambda: {"a": [1]}, add_item),
    "set": (lambda: {1}, lambda value: value.add(9)),
    "bytearray": (lambda: bytearray(b"1"), set_first),
    "object": (Record, change_record),
    "array": (lambda: np.array([1, 2]), set_first),
    "array in a dict in a tuple": (lambda: ({"array": np.array([1, 2])},), change_nested),
    "frame, new column": (lambda: pd.DataFrame({"x": [1]}), add_column),
    "frame, cell": (lambda: pd.DataFrame({"x": [1]}), change_cell),
    "frame, names of its indexes": (lambda: pd.DataFrame({"x": [1]}), name_index),
    "frame, names of index levels": (
        lambda: pd.DataFrame({"x": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)])),
        rename_levels,
    ),
    "fields of an array": (lambda: np.zeros(1, dtype=[("a", "i4"), ("b", "i4")]), rename_fields),
    "polars frame": (lambda: pl.DataFrame({"x": [1]}), insert_column),
    "iterator with copies": (lambda: iter([1, 2]), next),
    "view of a dict": (lambda: {"a": 1}.keys(), lambda value: None),
    "view of memory": (lambda: memoryview(bytearray(b"1")), set_first),
    "array over the limit, new column": (lambda: pd.DataFrame({"x": np.zeros(LARGE)}), add_column),
}


@pytest.mark.parametrize(("make", "change"), CHANGES.values(), ids=CHANGES)
def test_a_reader_does_not_see_what_an_earlier_reader_changed(
    tmp_path: Path, make: Callable[[], Any], change: Callable[[Any], None]
) -> None:
    seen: list[Any] = []

    def read(value: Any) -> None:
        if isinstance(value, Iterator):
            value = list(value)
        seen.append(repr(value) if not isinstance(value, memoryview) else bytes(value))
        assert not isinstance(value, list) or type(value) is list

    def failing(value: Any) -> None:
        change(value)
        if len(attempts) < 2:
            attempts.append(1)
            raise RuntimeError("again")

    attempts: list[int] = []
    runner = ended(
        tmp_path,
        in_group(make, [], ["value"], name="make"),
        in_group(change, ["value"], ["first"], name="change"),
        in_group(read, ["value"], ["second"], name="read"),
        in_group(failing, ["value"], ["third"], name="retried", retry=2),
        in_group(read, ["value"], ["fourth"], name="last"),
    )
    assert [failure(runner, name) for name in ("make", "change", "read", "retried", "last")] == (
        [""] * 5
    )
    expected = make()
    if isinstance(expected, Iterator):
        expected = list(expected)
    text = bytes(expected) if isinstance(expected, memoryview) else repr(expected)
    assert seen == [text, text]


def test_a_retry_sees_what_the_first_attempt_saw(tmp_path: Path) -> None:
    seen: list[list[int]] = []

    def take(value: list[int], rows: list[int]) -> None:
        seen.append([*value, *rows])
        value.clear()
        rows.clear()
        if len(seen) < 3:
            raise RuntimeError("again")

    ended(
        tmp_path,
        in_group(lambda: [1, 2], [], ["value"], name="make"),
        in_group(take, ["value"], ["end"], name="take", retry=2),
        context={"rows": [3]},
    )
    assert seen == [[1, 2, 3]] * 3


def test_a_condition_that_changes_its_arguments_does_not_change_those_of_the_step(
    tmp_path: Path,
) -> None:
    seen: list[Any] = []

    def condition(value: list[int], rows: list[int]) -> bool:
        value.clear()
        rows.clear()
        return True

    def take(value: list[int], rows: list[int]) -> None:
        seen.append((value, rows))

    ended(
        tmp_path,
        in_group(lambda: [1], [], ["value"], name="make"),
        in_group(take, ["value"], ["end"], name="take", condition=condition),
        context={"rows": [2]},
    )
    assert seen == [([1], [2])]


def test_each_step_gets_its_own_context_values(tmp_path: Path) -> None:
    seen: list[list[int]] = []

    def take(rows: list[int]) -> None:
        seen.append(list(rows))
        rows.append(9)

    rows = [1]
    ended(
        tmp_path,
        in_group(take, [], ["a"], name="a"),
        in_group(take, [], ["b"], name="b"),
        context={"rows": rows},
    )
    assert seen == [[1], [1]]
    assert rows == [1]


def test_outputs_of_a_step_that_share_an_object_are_separate_values(tmp_path: Path) -> None:
    seen: list[Any] = []

    def make() -> Any:
        rows = [1]
        array = np.arange(4)
        return rows, {"rows": rows}, array[:3], array[2:]

    ended(
        tmp_path,
        in_group(make, [], ["a", "b", "c", "d"], name="make"),
        in_group(append, ["a"], ["e"], name="change"),
        in_group(lambda c: c.fill(9), ["c"], ["f"], name="fill"),
        in_group(lambda b, d: seen.append((b, list(d))), ["b", "d"], ["end"], name="take"),
    )
    assert seen == [({"rows": [1]}, [2, 3])]


def test_an_iterator_that_is_a_part_of_two_outputs_is_refused(tmp_path: Path) -> None:
    def make() -> Any:
        items = (n for n in range(3))
        return items, items

    runner = ended(
        tmp_path,
        in_group(make, [], ["a", "b"], name="make"),
        in_group(list, ["a"], ["c"], name="first"),
        in_group(list, ["b"], ["d"], name="second"),
    )
    text = failure(runner, "make")
    assert "also a part of another output" in text
    assert "fix: return a list of its items" in text


def test_outputs_that_share_nothing_are_not_copied(tmp_path: Path) -> None:
    seen: list[int] = []

    def make() -> Any:
        frame = pd.DataFrame({"x": range(4)})
        parts = frame.iloc[:2], frame.iloc[2:].copy()
        seen.extend(map(id, parts))
        return parts

    def take(a: Any, b: Any) -> None:
        seen.extend([id(a), id(b)])

    ended(
        tmp_path,
        in_group(make, [], ["a", "b"], name="make"),
        in_group(take, ["a", "b"], ["end"], name="take"),
    )
    assert seen[:2] == seen[2:]


CACHED = [1]


def test_a_value_that_the_program_keeps_is_not_changed_by_its_reader(tmp_path: Path) -> None:
    seen: list[Any] = []

    def take_global() -> list[int]:
        return CACHED

    ended(
        tmp_path,
        in_group(take_global, [], ["value"], name="make"),
        in_group(append, ["value"], ["changed"], name="change"),
        in_group(take_global, ["changed"], ["again"], name="again", condition=lambda changed: True),
        in_group(lambda again: seen.append(list(again)), ["again"], ["end"], name="take"),
    )
    assert CACHED == [1]


def test_large_arrays_are_read_only_while_another_reader_needs_them(tmp_path: Path) -> None:
    seen: list[Any] = []

    def read(value: Any) -> float:
        seen.append(value["array"].flags.writeable)
        return float(value["array"].sum())

    def change(value: Any) -> None:
        value["new"] = 1
        value["array"][0] = 9.0

    runner = ended(
        tmp_path,
        in_group(lambda: {"array": np.ones(LARGE)}, [], ["value"], name="make"),
        in_group(read, ["value"], ["first"], name="first"),
        in_group(change, ["value"], ["changed"], name="change"),
        in_group(read, ["value"], ["second"], name="second"),
    )
    assert seen == [False]
    text = failure(runner, "change")
    assert 'value["array"][0] = 9.0' in text  # the line that changes the array
    assert "array.copy()" in text


def test_the_last_reader_of_a_large_array_can_change_it(tmp_path: Path) -> None:
    seen: list[float] = []

    def change(value: Any) -> None:
        value[0] = 9.0
        seen.append(float(value[0]))

    ended(
        tmp_path,
        in_group(lambda: np.ones(LARGE), [], ["value"], name="make"),
        in_group(lambda value: seen.append(float(value[0])), ["value"], ["a"], name="read"),
        in_group(change, ["value"], ["b"], name="change"),
    )
    assert seen == [1.0, 9.0]


def test_an_output_that_is_a_part_of_a_large_input_belongs_to_its_own_reader(
    tmp_path: Path,
) -> None:
    seen: list[Any] = []

    def change(value: Any) -> None:
        value[:] = 9.0

    def change_part(part: Any) -> None:
        seen.append(part.tolist())
        part[0] = 5.0

    runner = ended(
        tmp_path,
        in_group(lambda: np.ones(LARGE), [], ["value"], name="make"),
        in_group(lambda value: value[:2], ["value"], ["part"], name="part"),
        in_group(change, ["value"], ["a"], name="change"),
        in_group(change_part, ["part"], ["b"], name="change_part"),
    )
    assert seen == [[1.0, 1.0]]
    assert failure(runner, "change_part") == failure(runner, "change") == ""


KEPT: list[Any] = []


def test_a_reader_that_keeps_a_large_array_does_not_see_later_changes(tmp_path: Path) -> None:
    def change(value: Any) -> None:
        value[:] = 9.0

    runner = ended(
        tmp_path,
        in_group(lambda: np.ones(LARGE), [], ["value"], name="make"),
        in_group(lambda value: KEPT.append(value), ["value"], ["a"], name="keep"),
        in_group(change, ["value"], ["b"], name="change"),
    )
    assert failure(runner, "change") == ""
    assert KEPT.pop()[0] == 1.0


def test_an_array_from_another_job_can_be_changed_by_a_step_with_retries(tmp_path: Path) -> None:
    seen: list[float] = []

    def change(value: Any) -> None:
        seen.append(float(value[0]))
        value[0] = 9.0
        if len(seen) < 2:
            raise RuntimeError("again")

    ended(
        tmp_path,
        in_group(change, ["value"], ["a"], name="change", retry=1),
        inputs={"value": np.ones(LARGE)},
    )
    assert seen == [1.0, 1.0]


def test_immutable_objects_and_code_are_handed_on_uncopied(tmp_path: Path) -> None:
    table, function = pa.table({"x": [1]}), threading.current_thread
    seen: list[Any] = []
    ended(
        tmp_path,
        in_group(lambda: [table, function, Record], [], ["value"], name="make"),
        in_group(seen.extend, ["value"], ["a"], name="first"),
        in_group(seen.extend, ["value"], ["b"], name="second"),
    )
    assert all(item is table or item is function or item is Record for item in seen)
    assert len(seen) == 6


UNCOPYABLE: dict[str, Callable[[], Any]] = {
    "generator": lambda: (n for n in range(3)),
    "map of a generator": lambda: map(str, (n for n in range(3))),
    "lock": threading.Lock,
    "generator in a dict": lambda: {"rows": (n for n in range(3))},
}


@pytest.mark.parametrize("make", UNCOPYABLE.values(), ids=UNCOPYABLE)
def test_a_value_without_copies_is_refused_before_it_is_read_twice(
    tmp_path: Path, make: Callable[[], Any]
) -> None:
    read: list[str] = []
    once = ended(
        tmp_path / "once",
        in_group(make, [], ["value"], name="make"),
        in_group(lambda value: read.append("once"), ["value"], ["a"], name="read"),
    )
    assert (failure(once, "make"), read) == ("", ["once"])
    twice = ended(
        tmp_path / "twice",
        in_group(make, [], ["value"], name="make"),
        in_group(lambda value: read.append("a"), ["value"], ["a"], name="first"),
        in_group(lambda value: read.append("b"), ["value"], ["b"], name="second"),
    )
    retried = ended(
        tmp_path / "retried",
        in_group(make, [], ["value"], name="make"),
        in_group(lambda value: read.append("c"), ["value"], ["a"], name="first", retry=1),
    )
    assert read == ["once"]
    for part in ("asset 'value'", "step 'first' and step 'second'", "fix: return "):
        assert part in failure(twice, "make")
    assert "step 'first' (again in each retry)" in failure(retried, "make")


def test_a_file_that_a_reader_changes_is_an_error_for_the_next_reader(tmp_path: Path) -> None:
    file = tmp_path / "data.txt"

    def make() -> Path:
        file.write_text("1")
        return file

    def change(value: Path) -> None:
        value.write_text("1, 9")

    runner = ended(
        tmp_path,
        in_group(make, [], ["value"], name="make"),
        in_group(lambda value: value.read_text(), ["value"], ["a"], name="first"),
        in_group(change, ["value"], ["b"], name="change"),
        in_group(lambda value: value.read_text(), ["value"], ["c"], name="second"),
    )
    assert failure(runner, "first") == ""
    text = failure(runner, "second")
    assert "ChangedFileError" in text
    assert str(file) in text


def test_a_changed_file_that_is_stored_is_loaded_again(tmp_path: Path) -> None:
    file = tmp_path / "data.txt"
    file.write_text("1")
    seen: list[str] = []

    def change(value: Path) -> None:
        value.write_text("1, 9")

    ended(
        tmp_path,
        in_group(change, ["value"], ["b"], name="change"),
        in_group(lambda value: seen.append(value.read_text()), ["value"], ["c"], name="read"),
        inputs={"value": file},
    )
    assert seen == ["1"]


@pytest.mark.contract  # importing PyTorch starts processes
def test_tensors_are_copied_for_each_reader(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (up to 3 GB)")
    seen: list[Any] = []

    def make() -> Any:
        tensor = torch.ones(LARGE, dtype=torch.float64)
        return tensor, tensor[:2], torch.ones(2), torch.ones(2)

    def change(value: Any, part: Any) -> None:
        value[0] = part[1] = 9

    runner = ended(
        tmp_path,
        in_group(make, [], ["value", "part", "x", "y"], name="make"),
        in_group(change, ["value", "part"], ["a"], name="change"),
        in_group(
            lambda value, part: seen.extend((value, part)), ["value", "part"], ["b"], name="b"
        ),
    )
    assert failure(runner, "change") == ""
    value, part = seen
    assert (value[0].item(), value[1].item(), part.tolist()) == (1, 1, [1, 1])
    assert shared_between({"x": torch.ones(2), "y": torch.ones(2)}) == set()
    assert shared_between({"x": value, "y": value[1:]}) == {"y"}
