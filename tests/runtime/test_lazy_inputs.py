"""Steps that get handles of their inputs, from the store or from the memory of the job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest

from flowyml_aws import Lazy, step
from flowyml_aws.artifacts.transfer import save_items
from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.core.step import Step
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.runtime.result import StepState
from tests.runtime.harness import WrittenRun

PAGE = (Path(__file__).parents[2] / "docs/lazy.md").read_text("utf-8")
KEPT: list[Lazy[Any]] = []


@pytest.fixture(autouse=True)
def reset() -> None:
    KEPT.clear()


def make(group: str | None) -> Step:
    @step(outputs=["rows"], execution_group=group)
    def produce() -> numpy.ndarray[Any, Any]:
        return numpy.arange(100)

    return produce


def read(group: str | None, **options: Any) -> Step:
    @step(inputs=["rows"], outputs=["seen"], execution_group=group, **options)
    def see(rows: Lazy[numpy.ndarray[Any, Any]]) -> list[Any]:
        KEPT.append(rows)
        piece = rows[2:4]
        piece[0] = 7
        facts = (rows.shape, str(rows.dtype), len(rows), rows.nbytes, rows.digest)
        return [rows[2:4].tolist(), facts, sum(batch.sum() for batch in rows.batches(30))]

    return see


def value_of(run: WrittenRun) -> Any:
    for job in run.specs:
        runner = run.runner(job)
        assert runner.run()
        runner.attempt.commit("succeeded")
    return run.value("seen", [*run.specs][-1])


def test_a_handle_gives_the_same_in_one_job_and_from_another(tmp_path: Path) -> None:
    in_one = value_of(WrittenRun(tmp_path / "a", make("g"), read("g")))
    in_two = value_of(WrittenRun(tmp_path / "b", make(None), read(None)))
    external = WrittenRun(tmp_path / "c", read(None), inputs={"rows": numpy.arange(100)})
    assert in_one == in_two == value_of(external)
    assert in_one[0] == [2, 3]
    assert in_one[2] == sum(range(100))


def test_a_handle_is_closed_when_its_step_ends(tmp_path: Path) -> None:
    value_of(WrittenRun(tmp_path, make("g"), read("g")))
    assert repr(KEPT[0]) == "<Lazy 'rows', closed>"


def test_nothing_is_read_of_an_input_that_is_not_used(tmp_path: Path) -> None:
    @step(inputs=["rows"], outputs=["seen"])
    def see(rows: Lazy[Any]) -> str:
        return rows.digest[:4] and "not read"

    run = WrittenRun(tmp_path, see, inputs={"rows": [1, 2]})
    ref = run.spec().assets["rows"].ref
    assert ref is not None
    run.store.delete([ref.key])
    assert value_of(run) == "not read"


@pytest.mark.parametrize("is_caught", [False, True])
def test_a_damaged_value_fails_the_job_and_not_its_step(tmp_path: Path, is_caught: bool) -> None:
    @step(inputs=["rows"], outputs=["seen"], retry=3)
    def see(rows: Lazy[Any]) -> None:
        KEPT.append(rows)
        try:
            rows.load()
        except DamagedArtifactError as error:
            if is_caught:
                raise ValueError("another error") from error
            raise

    run = WrittenRun(tmp_path, see, inputs={"rows": [1, 2]})
    ref = run.spec().assets["rows"].ref
    assert ref is not None
    run.store.path(ref.key).write_bytes(b"[1,3]")
    runner = run.runner()
    with pytest.raises(DamagedArtifactError, match=r"'rows' is damaged(.|\n)*--refresh"):
        runner.run()
    assert list(runner.attempt.damaged) == ["rows"]
    assert len(KEPT) == 1  # without retries


def test_each_attempt_gets_a_handle_of_its_own(tmp_path: Path) -> None:
    @step(inputs=["rows"], outputs=["seen"], retry=1, execution_group="g")
    def see(rows: Lazy[list[int]]) -> list[int]:
        KEPT.append(rows)
        rows.load().append(len(KEPT))
        if len(KEPT) == 1:
            raise ValueError("the first attempt")
        return rows.load()

    @step(outputs=["rows"], execution_group="g")
    def produce() -> list[int]:
        return [0]

    run = WrittenRun(tmp_path, produce, see)
    runner = run.runner(sleep=lambda _: None)
    assert runner.run()
    runner.attempt.commit("succeeded")
    assert run.value("seen") == [0, 2]


def test_a_list_that_is_stored_item_by_item_is_read_item_by_item(tmp_path: Path) -> None:
    @step(inputs=["squares"], outputs=["seen"])
    def see(squares: Lazy[list[str]]) -> list[Any]:
        return [squares[1], squares[1:], len(squares)]

    squares = [f"{number}" * 200_000 for number in range(3)]  # too large for a pack
    index = save_items(DirectoryArtifactStore(tmp_path / "store"), "squares", squares)
    run = WrittenRun(tmp_path, see, inputs={"squares": index})
    first, *_ = index.refs
    run.store.delete([first.key])
    assert value_of(run) == [squares[1], squares[1:], 3]


def test_context_values_and_conditions_get_handles(tmp_path: Path) -> None:
    def is_short(rows: Lazy[list[int]], limit: Lazy[int]) -> bool:
        return len(rows) < limit.load()

    @step(inputs=["rows"], outputs=["seen"], condition=is_short)
    def see(rows: list[int], limit: Lazy[int]) -> int:
        return limit.load()

    assert value_of(WrittenRun(tmp_path, see, inputs={"rows": [1]}, context={"limit": 3})) == 3


def test_a_returned_handle_fails_the_step(tmp_path: Path) -> None:
    @step(inputs=["rows"], outputs=["seen"])
    def see(rows: Lazy[Any]) -> Any:
        return rows

    run = WrittenRun(tmp_path, see, inputs={"rows": 1})
    runner = run.runner()
    assert not runner.run()
    report = runner.attempt.progress["see"]
    assert report.state is StepState.FAILED
    assert report.failure is not None
    assert "returned a Lazy as 'seen'" in report.failure.message


def test_the_example_of_the_documentation_runs(tmp_path: Path) -> None:
    source = PAGE.partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(source, "lazy.md", "exec"), names)
    summary = names["summarize"](*names["collect"]())
    assert summary == {"rows": 1_000_000, "mean": pytest.approx(0.5), "largest price": 99.0}
