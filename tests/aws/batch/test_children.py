"""States of the children of arrays: which ones are described, and which follow from numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.aws.batch.children import ChildStates, JobPoller, array_counts

STATES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")


class Batch:
    """The children of one array, and the calls that describe them.

    Args:
        states: State of each child.
        counts: Numbers that the array shows; by default the right ones.
    """

    def __init__(self, states: list[str], counts: dict[str, int] | None = None) -> None:
        self.states = states
        self.counts = counts
        self.parent_status = "PENDING"
        self.calls: list[list[str]] = []

    def describe_jobs(self, jobs: list[str]) -> dict[str, Any]:
        self.calls.append(jobs)
        return {"jobs": [self.detail(job) for job in jobs if self.exists(job)]}

    def exists(self, job: str) -> bool:
        return job == "a" or int(job.partition(":")[2]) < len(self.states)

    def detail(self, job: str) -> dict[str, Any]:
        common = {"jobId": job, "jobArn": f"arn:{job}", "jobName": "n"}
        if job != "a":
            return {**common, "status": self.states[int(job.partition(":")[2])]}
        counts = Counter(self.states) if self.counts is None else self.counts
        size = sum(Counter(self.states).values())
        summary = {state: counts.get(state, 0) for state in STATES}
        properties = {"size": size, "statusSummary": summary}
        return {**common, "status": self.parent_status, "arrayProperties": properties}


def a_poller(batch: Batch) -> JobPoller:
    return JobPoller(batch)  # type: ignore[arg-type]  # a fake with the one call that it uses


def poll(poller: JobPoller, batch: Batch, size: int) -> dict[str, str]:
    batch.calls.clear()
    return {detail["jobId"]: detail["status"] for detail in poller.poll([], {"a": size})}


def test_children_that_wait_are_not_described_beyond_the_first_call() -> None:
    batch = Batch(["RUNNABLE"] * 1000)
    states = poll(a_poller(batch), batch, 1000)
    assert len(batch.calls) == 1
    assert Counter(states.values()) == {"RUNNABLE": 1000}


def test_a_poll_without_a_change_is_one_call() -> None:
    batch = Batch(["SUCCEEDED"] * 200 + ["RUNNING"] * 300 + ["RUNNABLE"] * 500)
    poller = a_poller(batch)
    first = poll(poller, batch, 1000)
    assert [first[f"a:{index}"] for index in range(1000)] == batch.states
    again = poll(poller, batch, 1000)
    assert len(batch.calls) == 1
    assert set(again.values()) == {"RUNNING"}  # these are likely to change


def test_children_are_described_until_the_numbers_agree() -> None:
    batch = Batch(["RUNNING"] * 50 + ["RUNNABLE"] * 950)
    poller = a_poller(batch)
    poll(poller, batch, 1000)
    batch.states[:60] = ["SUCCEEDED"] * 50 + ["RUNNING"] * 10
    states = poll(poller, batch, 1000)
    assert len(batch.calls) == 1
    assert Counter(states.values()) == {"SUCCEEDED": 50, "RUNNING": 10, "RUNNABLE": 39}
    batch.states[950] = "FAILED"  # it was terminated
    states = poll(poller, batch, 1000)
    assert states["a:950"] == "FAILED" and len(batch.calls) <= 11


def test_numbers_that_are_late_only_cost_calls() -> None:
    batch = Batch(["FAILED"] * 250, counts={"RUNNING": 250})
    states = poll(a_poller(batch), batch, 250)
    assert Counter(states.values()) == {"FAILED": 250}
    assert len(batch.calls) == 3


def test_children_that_do_not_exist_yet_have_the_state_of_their_array() -> None:
    batch = Batch([])
    batch.parent_status = "SUBMITTED"
    states = poll(a_poller(batch), batch, 3)
    assert set(states.values()) == {"SUBMITTED"}


def test_children_that_never_existed_fail_with_their_array() -> None:
    batch = Batch([])
    batch.parent_status = "FAILED"
    states = poll(a_poller(batch), batch, 3)
    assert states == {f"a:{index}": "FAILED" for index in range(3)}


def test_an_array_that_batch_does_not_know_has_no_states() -> None:
    batch = Batch([])
    batch.exists = lambda job: False  # type: ignore[method-assign]  # Batch has forgotten it
    poller = a_poller(batch)
    assert poll(poller, batch, 3) == {}
    assert poller.arrays == frozenset()


def test_an_array_without_numbers_counts_all_its_children_as_new() -> None:
    detail: Any = {"status": "SUBMITTED", "arrayProperties": {"size": 7}}
    assert array_counts(detail) == {"SUBMITTED": 7}


def test_a_child_whose_caller_failed_is_described_again() -> None:
    batch = Batch(["SUCCEEDED", "SUCCEEDED"])
    poller = a_poller(batch)
    details = poller.poll([], {"a": 2})
    first = next(details)["jobId"]
    details.close()  # type: ignore[attr-defined]  # as an error of the caller does
    assert first in poll(poller, batch, 2)


@given(st.lists(st.lists(st.sampled_from(STATES), min_size=8, max_size=8), max_size=6))
def test_after_each_poll_the_states_agree_with_the_numbers(polls: list[list[str]]) -> None:
    states = ChildStates(8)
    current: list[str | None] = [None] * 8
    for actual in polls:
        # A child that has ended keeps its state.
        kept = zip(actual, current, strict=True)
        actual = [str(was) if was in ("SUCCEEDED", "FAILED") else state for state, was in kept]
        states.begin_poll()
        while (inferred := states.infer(Counter(actual))) is None:
            index = states.doubtful()[0]
            states.describe(index, actual[index])
            current[index] = actual[index]
        for index, state in inferred.items():
            assert state in ("SUBMITTED", "PENDING", "RUNNABLE")
            current[index] = state
        assert Counter(current) == Counter(actual)
