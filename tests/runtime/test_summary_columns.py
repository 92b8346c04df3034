"""Columns of a summary: reports of items as numbers."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.runtime.result import StepFailure, StepReport, StepState
from flowyml_aws.runtime.summary import JobSummary
from flowyml_aws.runtime.summary_columns import from_columns, to_columns

STARTED = 1_795_999_999.125


def report(name: str, started_ms: int, ended_ms: int) -> dict[str, Any]:
    times = {
        "started_at": (STARTED * 1000 + started_ms) / 1000,
        "ended_at": (STARTED * 1000 + ended_ms) / 1000,
    }
    return {"name": name, "state": "succeeded", **times}


def a_summary(steps: list[dict[str, Any]], sizes: dict[str, int]) -> dict[str, Any]:
    return {"started_at": STARTED, "steps": steps, "asset_bytes": sizes}


def test_items_in_a_row_are_one_entry() -> None:
    steps = [
        report("load", 0, 10),
        report("clean[3]", 20, 30),
        report("train[3]", 31, 1030),
        report("clean[4]", 1031, 1040),
        report("train[4]", 1050, 2050),
    ]
    columns = to_columns(a_summary(steps, {"model[3]": 7, "model[4]": 8, "log": 1}), 1)
    assert columns["steps"] == [
        steps[0],
        {"items": ["clean", "train"], "first": 3, "times": [10, 10, 1, 999, 1, 9, 10, 1000]},
    ]
    assert columns["asset_bytes"] == [
        {"sizes": [7, 8], "names": ["model"], "first": 3},
        {"name": "log", "size": 1},
    ]


def test_an_item_that_failed_or_was_retried_keeps_its_report() -> None:
    failed = {**report("train[1]", 20, 30), "state": "failed", "failure": {"kind": "E"}}
    retried = {**report("train[2]", 40, 50), "retries": 1}
    steps = [report("train[0]", 0, 10), failed, retried, report("train[3]", 60, 70)]
    columns = to_columns(a_summary(steps, {}), 1)
    assert columns["steps"][1:3] == [failed, retried]
    assert [entry.get("first") for entry in columns["steps"]] == [0, None, None, 3]
    assert from_columns(columns)["steps"] == steps


NAMES = st.sampled_from(["a", "b", "a[0]", "a[1]", "b[0]", "b[1]", "a[2]", "b[2]", "x[y]", "[1]"])


@given(
    st.lists(st.tuples(NAMES, st.integers(-5, 5000), st.integers(0, 10**6)), max_size=12),
    st.dictionaries(NAMES, st.integers(0, 10**12)),
)
def test_columns_lose_nothing(steps: list[tuple[str, int, int]], sizes: dict[str, int]) -> None:
    time_ms, reports = 0, []
    for name, gap_ms, duration_ms in steps:
        reports.append(report(name, time_ms + gap_ms, time_ms + gap_ms + duration_ms))
        time_ms += gap_ms + duration_ms
    summary = a_summary(reports, sizes)
    assert from_columns(to_columns(summary, 1)) == summary


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"step_ms": 1, "steps": 3, "started_at": 1.0},
        {"step_ms": 1, "steps": [], "started_at": float("inf")},
        {"step_ms": 1, "steps": [{"items": [], "first": 0, "times": [1, 1]}], "started_at": 1.0},
        {"step_ms": 1, "steps": [], "started_at": 1.0, "asset_bytes": [{"name": "a"}]},
    ],
)
def test_invalid_columns_are_an_error(columns: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="invalid columns"):
        from_columns(columns)


def summary_of(items: int, name: str = "train_the_model") -> JobSummary:
    """Return the summary of a job whose items have different times and sizes."""
    source, time = random.Random(1), STARTED
    steps = []
    for index in range(9000, 9000 + items):
        started, time = time + source.uniform(0, 0.01), time + source.uniform(0.5, 2.5)
        steps.append(
            StepReport(
                name=f"{name}[{index}]",
                state=StepState.SUCCEEDED,
                started_at=round(started, 3),
                ended_at=round(time, 3),
            )
        )
    sizes = {f"the_model[{index}]": source.randrange(10_000) for index in range(9000, 9000 + items)}
    return JobSummary(
        attempt=1,
        state="succeeded",
        started_at=STARTED,
        ended_at=round(time, 3),
        steps=tuple(steps),
        asset_bytes=sizes,
        instance_type="m6i.large",
    )


@pytest.mark.parametrize("items", [1, 20, 50])
def test_the_summary_of_a_job_of_many_items_fits_a_key_without_a_loss(items: int) -> None:
    summary = summary_of(items)
    name = summary.to_name()
    assert name is not None
    assert JobSummary.from_name(name) == summary


def test_the_times_of_a_hundred_items_are_rounded_to_tenths_of_a_second() -> None:
    summary = summary_of(100)
    name = summary.to_name()
    assert name is not None
    found = JobSummary.from_name(name)
    assert found is not None
    assert found.asset_bytes == summary.asset_bytes
    for read, exact in zip(found.steps, summary.steps, strict=True):
        assert read.name == exact.name
        assert read.duration_s == pytest.approx(exact.duration_s, abs=0.11)


def test_a_failed_item_among_many_keeps_its_reason() -> None:
    summary = summary_of(30)
    failure = StepFailure(kind="ValueError", message="no such column")
    failed = summary.steps[7].model_copy(update={"state": StepState.FAILED, "failure": failure})
    steps = (*summary.steps[:7], failed, *summary.steps[8:])
    name = summary.model_copy(update={"steps": steps, "state": "failed"}).to_name()
    assert name is not None
    found = JobSummary.from_name(name)
    assert found is not None and found.steps == steps
