"""The checker of invariants can fail: each wrong fact about a run is a broken invariant."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.evidence import Evidence, MoveEvidence, RunEvidence
from tests.chaos.execution import losses_by_job
from tests.chaos.invariants import LIMIT_S, broken_invariants
from tests.chaos.schedule import (
    BACKENDS,
    ItemMap,
    Loss,
    Schedule,
    Shortage,
    Task,
    Trouble,
    describe,
    draw_schedule,
    fraction,
)

SCHEDULE = Schedule(
    1, "batch", tasks=(Task(), Task(reads=(0,), failures=1)), clients=(), fault_rate=0.1
)
RUN = RunEvidence(
    run_id="run",
    state="succeeded",
    driven_state="succeeded",
    jobs={"s0": ["s0"], "s1": ["s1"]},
    steps={"s0": "succeeded", "s1": "succeeded"},
    committed={"s0": ["s0"], "s1": ["s1"]},
    outputs={"a1": 31},
    expected={"a1": 31},
    executions={"s0": 1, "s1": 2},
)


def broken(run: RunEvidence = RUN, **evidence: Any) -> list[str]:
    return broken_invariants(SCHEDULE, Evidence(runs=[run], **evidence))


def test_a_run_as_it_should_be_breaks_nothing() -> None:
    assert broken() == []


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"outputs": {"a1": 30}}, "run: outputs {'a1': 30} instead of {'a1': 31}"),
        ({"outputs": {}}, "run: outputs {} instead of {'a1': 31}"),
        (
            {"executions": {"s0": 2, "s1": 2}},
            "run: step s0 was executed 2 times, and may be executed 1 times",
        ),
        ({"executions": {"s1": 2}}, "run: step s0 was committed without an execution"),
        (
            {"committed": {"s0": ["s0"], "s1": ["s0", "s1"]}},
            "run: step s0 was committed 2 times",
        ),
        ({"committed": {"s0": ["s0"]}}, "run: step s1 succeeded without a commit"),
        (
            {"state": "failed", "driven_state": "failed"},
            "run: the run is failed instead of succeeded",
        ),
        (
            {"driven_state": "cancelled"},
            "run: a fresh client reports succeeded, the client before it cancelled",
        ),
        ({"left_jobs": ["Batch job run-s0"]}, "run: left after the end: Batch job run-s0"),
        (
            {"billed_s": {"s0": 3}, "service_billed_s": {"s0": 3, "s1": 2}},
            "run: billed {'s0': 3}, but the service bills {'s0': 3, 's1': 2}",
        ),
        (
            {"steps": {"s0": "succeeded", "s1": "waiting"}},
            "run: the run succeeded, but steps are {'s1': 'waiting'}",
        ),
    ],
)
def test_a_wrong_fact_is_a_broken_invariant(wrong: dict[str, Any], sentence: str) -> None:
    assert broken(replace(RUN, **wrong)) == [sentence]


def test_a_lost_host_allows_one_more_execution_of_the_steps_of_its_job_only() -> None:
    again = replace(RUN, executions={"s0": 2, "s1": 2})
    assert broken(replace(again, lost={"s0": 1})) == []
    assert len(broken(replace(again, lost={"s1": 1}))) == 1


MOVE = MoveEvidence("s0", 1, "capacity", "m5.large at $0.0960/h, on demand, on cpu")
ON_SPOT = replace(SCHEDULE, has_spot=True, shortages=(Shortage("spot"),))
MOVED = replace(
    RUN, moves=[MOVE], driven_moves=[MOVE], reported_moves=[MOVE], targets={"s0": "cpu"}
)


def test_a_job_that_runs_out_of_memory_and_then_loses_its_store_loses_two_containers() -> None:
    ended = {Loss.HOST: Counter(["a"]), Loss.MEMORY: Counter(["b"])}
    assert losses_by_job(Counter(a=1, b=1), ended) == {"a": 1, "b": 2}


def test_a_shortage_of_spot_capacity_and_two_lost_hosts_allow_a_move() -> None:
    moved = Evidence(runs=[MOVED])
    assert broken_invariants(ON_SPOT, moved) == []
    without = replace(ON_SPOT, shortages=(Shortage("on-demand"),))
    (sentence,) = broken_invariants(without, moved)
    assert sentence == "run: job s0 moved without a fault of the schedule: capacity"
    lost = replace(MOVE, losses=2)
    run = replace(MOVED, moves=[lost], driven_moves=[lost], reported_moves=[lost])
    assert broken_invariants(without, Evidence(runs=[run])) == []
    assert broken_invariants(SCHEDULE, Evidence(runs=[run])) != []


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {"driven_moves": []},
            f"run: a fresh client reports the moves {[str(MOVE)]}, the client before it []",
        ),
        (
            {"targets": {"s0": "spot"}},
            f"run: job s0 moved to {MOVE.machine}, but is on spot",
        ),
        (
            {"reported_moves": [MOVE, MOVE], "driven_moves": [MOVE, MOVE]},
            "run: the moves of job s0 have the numbers [1, 1]",
        ),
    ],
)
def test_moves_that_do_not_agree_are_a_broken_invariant(
    wrong: dict[str, Any], sentence: str
) -> None:
    evidence = Evidence(runs=[replace(MOVED, **wrong)])
    assert broken_invariants(ON_SPOT, evidence) == [sentence]


def test_a_job_may_fail_only_because_of_a_fault_of_the_schedule() -> None:
    disk_full = replace(RUN, failures=["s0: the step failed | disk full"])
    (sentence,) = broken(disk_full)
    assert sentence.endswith("without a fault of the schedule: s0: the step failed | disk full")
    schedule = replace(SCHEDULE, tasks=(Task(trouble=Trouble.DISK), *SCHEDULE.tasks[1:]))
    assert broken_invariants(schedule, Evidence(runs=[disk_full])) == []
    damaged = replace(RUN, failures=["s1: the job failed | damaged data"])
    assert len(broken(damaged)) == 1
    assert len(broken(replace(damaged, damaged=1))) == 1  # it is produced again
    assert broken(replace(damaged, damaged=2)) == []
    assert broken(replace(damaged, damaged=1, is_cancelled=True)) == []


def test_a_job_may_be_executed_again_only_for_a_damaged_value() -> None:
    move = MoveEvidence("s0", 1, "damaged data", "m6i.large, on demand, on cpu")
    moves = [move]
    run = replace(RUN, targets={"s0": "cpu"}, moves=moves, driven_moves=moves, reported_moves=moves)
    assert broken(run) == [
        "run: job s0 moved without a fault of the schedule: damaged data",
    ]
    assert broken(replace(run, damaged=1)) == []


ITEMS = replace(
    SCHEDULE,
    tasks=(
        Task(returns=3),
        Task(reads=(0,), items=ItemMap(over=0, expect=2, rule="drop", item=1, drops=True)),
        Task(reads=(1,), items=ItemMap(over=1, item=2), trouble=Trouble.RAISE),
    ),
)
OF_ITEMS = replace(
    RUN,
    jobs={
        "run s0": ["s0"],
        "run s1-0": ["s1{1/2}", "s1[0]"],
        "run s1-1": ["s1{2/2}", "s1[1]", "s1[2]"],
        "run s2-0": ["s2{1/2}", "s2[0]"],
        "run s2-1": ["s2{2/2}", "s2[1]", "s2[2]"],
        "resumed s2-1": ["s2{2/2}", "s2[1]", "s2[2]"],
    },
    steps={"s0": "cached", "s1[1]": "failed", "s2[1]": "not run", "s2[2]": "succeeded"},
    committed={"s2-1": ["s2{2/2}", "s2[2]"]},
    outputs={"a2": []},
    expected={"a2": []},
    executions={"s0": 1, "s1[0]": 1, "s1[1]": 1, "s1[2]": 1, "s2[0]": 1, "s2[2]": 2},
    failures=["s2-1: step 's2[2]': ValueError: the first execution fails | step"],
)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({}, None),
        (
            {"executions": {**OF_ITEMS.executions, "s2[0]": 2}},
            "step s2[0] was executed 2 times, and may be executed 1 times",
        ),
        ({"executions": {**OF_ITEMS.executions, "s1[0]": 2}, "lost": {"run s1-0": 1}}, None),
        (
            {"executions": {**OF_ITEMS.executions, "s1[0]": 2}, "lost": {"run s1-1": 1}},
            "step s1[0] was executed 2 times, and may be executed 1 times",
        ),
        ({"committed": {"a": ["s2[2]"], "b": ["s2[2]"]}}, "step s2[2] was committed 2 times"),
        (
            {
                "steps": {**OF_ITEMS.steps, "s1[1]": "succeeded"},
                "committed": {"a": ["s1[1]", "s2[2]"]},
            },
            "step s1[1] was not dropped",
        ),
        (
            {"steps": {**OF_ITEMS.steps, "s2[1]": "failed"}},
            "the run succeeded, but steps are {'s2[1]': 'failed'}",
        ),
        (
            {"failures": ["s2-1: step 's2[0]': ValueError: the first execution fails | step"]},
            "the failed item is 2, but the failure is s2-1: step 's2[0]': ValueError: the first "
            "execution fails | step",
        ),
    ],
)
def test_the_invariants_hold_for_each_item(wrong: dict[str, Any], sentence: str | None) -> None:
    found = broken_invariants(ITEMS, Evidence(runs=[replace(OF_ITEMS, **wrong)]))
    assert found == ([] if sentence is None else [f"run: {sentence}"])


def test_a_third_of_the_schedules_have_maps_of_each_kind() -> None:
    drawn = [draw_schedule(seed, backend).tasks for backend in BACKENDS for seed in range(60)]
    maps = [tasks for tasks in drawn if any(task.items for task in tasks)]
    assert 40 <= len(maps) <= 80
    items = [task.items for tasks in maps for task in tasks if task.items]
    assert {each.rule for each in items} == {"finish", "drop"}
    assert {each.items_per_job for each in items} >= {None, 1, 2}
    assert any(each.drops for each in items)
    assert {each.over is None for each in items} == {True, False}
    assert any(each.expect is not None for each in items)


def test_a_missing_run_a_problem_of_a_client_and_too_much_time_are_broken_invariants() -> None:
    evidence = Evidence(runs=[], problems=["client-1: traceback"], seconds=LIMIT_S + 1)
    assert len(broken_invariants(SCHEDULE, evidence)) == 3


def test_a_cancelled_run_may_be_cancelled_or_have_succeeded_but_not_failed() -> None:
    run = replace(RUN, is_cancelled=True, state="cancelled", driven_state="cancelled")
    assert broken(run) == []
    assert broken(replace(run, state="failed", driven_state="failed")) != []


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_seed_always_gives_the_same_schedule(backend: str) -> None:
    schedules = [draw_schedule(seed, backend) for seed in range(40)]
    assert schedules == [draw_schedule(seed, backend) for seed in range(40)]
    assert len(set(map(describe, schedules))) == 40


def test_faults_of_calls_do_not_depend_on_the_order_of_the_callers() -> None:
    calls = [("client-1", "s0", "GetObject", 3), ("job", "s1", "PutObject", 1)]
    forwards = [fraction(7, *call) for call in calls]
    assert [fraction(7, *call) for call in reversed(calls)] == forwards[::-1]
    assert len({fraction(seed, *calls[0]) for seed in range(50)}) == 50


def test_a_branch_that_is_not_chosen_must_not_run() -> None:
    run = replace(
        RUN,
        jobs={"run s0": ["s0"], "run s1": ["s1"]},
        steps={"s0": "succeeded", "s1": "skipped"},
        committed={"s0": ["s0"], "s1": []},
        outputs={},
        expected={},
        executions={"s0": 1},
        skipped=["s1"],
        started=["s0"],
    )
    assert broken(run) == []
    started = "run: job s1 was started, but all its steps are skipped"
    assert broken(replace(run, started=["s0", "s1"])) == [started]
    executed = replace(run, executions={"s0": 1, "s1": 1})
    assert broken(executed) == ["run: step s1 was executed"]
    assert broken(replace(run, steps={"s0": "succeeded", "s1": "cached"})) == [
        "run: step s1 was not skipped"
    ]


@pytest.mark.parametrize("backend", BACKENDS)
def test_some_schedules_have_branches(backend: str) -> None:
    drawn = [draw_schedule(seed, backend).tasks for seed in range(40)]
    branches = [task.branch for tasks in drawn for task in tasks if task.branch is not None]
    assert {case for _, case in branches} == {"0", "1"}
    assert len({number for number, _ in branches}) > 1
