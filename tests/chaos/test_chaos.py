"""Some schedules of `make chaos`, and faults that are planted to be found."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator

import pytest

from flowyml_aws.testing.account import PREFIX
from tests.chaos.__main__ import run_schedules
from tests.chaos.execution import Project, execute
from tests.chaos.invariants import broken_invariants
from tests.chaos.schedule import (
    BACKENDS,
    Action,
    Client,
    Expiry,
    Fate,
    ItemMap,
    JobLoss,
    Loss,
    Outage,
    Schedule,
    Shortage,
    Task,
    Trouble,
)
from tests.chaos.stage import Stage, open_stage

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(sys.platform != "linux", reason="clients are forked"),
]

SCHEDULES = {"local": 14, "batch": 14, "sagemaker": 12}
FIRST_SEED = 1000
TWO_JOBS = (Task(), Task(reads=(0,)))


@pytest.fixture(scope="module")
def account() -> Iterator[Stage]:
    with open_stage(with_account=True) as stage:
        yield stage


@pytest.mark.xdist_group("chaos")
def test_a_schedule_on_aws_breaks_no_invariant(account: Stage) -> None:
    schedule = Schedule(
        seed=1,
        backend="batch",
        tasks=(
            Task(items=ItemMap(length=3, items_per_job=2, rule="drop", drops=True)),
            Task(reads=(0,), items=ItemMap(over=0, items_per_job=1)),
            Task(reads=(1,)),
        ),
        clients=(
            Client(0, Action.RUN, fate=Fate.KILL, at_call=30, call_arrives=True),
            Client(0, Action.ATTACH, after_steps=1, skew_s=240),
        ),
        fault_rate=0.05,
        losses=(JobLoss("s0", at_call=3),),
    )
    evidence = execute(schedule, account)
    assert broken_invariants(schedule, evidence) == []
    assert [run.state for run in evidence.runs] == ["succeeded"]
    # Something did go wrong.
    assert {
        "clients without an outcome",
        "broken calls",
        "jobs: loses its host",
    } <= evidence.faults.keys()


@pytest.mark.xdist_group("chaos")
def test_a_job_waits_for_the_store_for_minutes_of_a_faster_clock(account: Stage) -> None:
    schedule = Schedule(
        seed=1,
        backend="batch",
        tasks=(Task(trouble=Trouble.HANG, failures=1), Task(reads=(0,))),
        clients=(Client(0, Action.RUN), Client(0, Action.ATTACH, after_steps=1, expires_at=5)),
        outages=(Outage("s0", 180),),
        expiries=(Expiry("s1", 4, 120),),
    )
    evidence = execute(schedule, account)
    assert broken_invariants(schedule, evidence) == []
    (run,) = evidence.runs
    # The step is executed again after its time limit, and the jobs wait for the store.
    assert (run.executions, run.failures) == ({"s0": 2, "s1": 1}, [])
    assert {"calls in an outage", "calls with expired credentials"} <= evidence.faults.keys()


@pytest.mark.xdist_group("chaos")
def test_a_run_that_faults_of_its_jobs_have_failed_is_resumed(account: Stage) -> None:
    schedule = Schedule(
        seed=1,
        backend="batch",
        tasks=(Task(), Task(reads=(0,)), Task(reads=(1,), trouble=Trouble.DISK)),
        clients=(Client(0, Action.RUN), Client(0, Action.DAMAGE)),
        losses=(JobLoss("s1", 2, Loss.MEMORY),),
    )
    evidence = execute(schedule, account)
    assert broken_invariants(schedule, evidence) == []
    (run,) = evidence.runs
    assert run.state == "succeeded"
    reasons = "\n".join(run.failures)
    # The job without enough memory has moved to a larger machine; no queue has a larger disk.
    assert "out of memory" not in reasons and "disk full" in reasons
    assert evidence.faults["jobs: exceeds its memory"] == 1
    assert evidence.faults["damaged values"] == 1


@pytest.mark.xdist_group("chaos")
@pytest.mark.parametrize("backend", ["batch", "sagemaker"])
def test_jobs_without_spot_capacity_continue_on_demand(account: Stage, backend: str) -> None:
    schedule = Schedule(
        seed=1,
        backend=backend,
        tasks=TWO_JOBS,
        clients=(Client(0, Action.RUN), Client(0, Action.ATTACH, after_steps=1)),
        failed_launches=1 if backend == "sagemaker" else 0,
        has_spot=True,
        shortages=(Shortage("spot", after_steps=1),),
    )
    evidence = execute(schedule, account)
    assert broken_invariants(schedule, evidence) == []
    (run,) = evidence.runs
    assert (run.state, run.executions) == ("succeeded", {"s0": 1, "s1": 1})
    (move,) = run.moves
    assert (move.job, move.cause, move.losses) == ("s1", "capacity", 0)
    assert "on demand" in move.machine
    assert run.targets["s0"] != run.targets["s1"]


@pytest.mark.xdist_group("chaos")
def test_a_training_job_that_never_got_an_instance_has_no_bill(account: Stage) -> None:
    schedule = Schedule(
        seed=1,
        backend="sagemaker",
        tasks=(Task(),),
        clients=(
            Client(0, Action.RUN, fate=Fate.KILL, at_call=70),
            Client(0, Action.CANCEL, after_steps=1),  # the first client has ended before
        ),
        has_spot=True,
        shortages=(Shortage("spot"),),
    )
    evidence = execute(schedule, account)
    assert broken_invariants(schedule, evidence) == []
    (run,) = evidence.runs
    assert (run.state, run.executions, run.service_billed_s) == ("cancelled", {}, {})


@pytest.mark.xdist_group("chaos")
def test_a_job_that_is_left_is_a_broken_invariant(account: Stage) -> None:
    schedule = Schedule(1, "batch", (Task(),), (Client(0, Action.RUN),))

    def leave_a_job(project: Project, run_id: str) -> None:
        assert account.aws is not None
        batch = account.aws.client("batch")
        # It stays, because it waits for capacity.
        account.aws.faults.withhold(f"{PREFIX}-cpu")
        definition = batch.describe_job_definitions(status="ACTIVE")["jobDefinitions"][0]
        batch.submit_job(
            jobName=f"{run_id}-copy",
            jobQueue=f"{PREFIX}-cpu",
            jobDefinition=definition["jobDefinitionArn"],
        )

    evidence = execute(schedule, account, leave_a_job)
    (sentence,) = broken_invariants(schedule, evidence)
    left = f"Batch job {evidence.runs[0].run_id}-copy (RUNNABLE)"
    assert sentence.endswith(f"left after the end: {left}")


def test_a_step_that_is_executed_twice_is_a_broken_invariant() -> None:
    schedule = Schedule(1, "local", (Task(),), (Client(0, Action.RUN),))

    def execute_again(project: Project, _run_id: str) -> None:
        (step,) = runpy.run_path(str(project.folder / "pipeline.py"))["pipeline"].steps
        step.func()

    with open_stage(with_account=False) as stage:
        evidence = execute(schedule, stage, execute_again)
    (sentence,) = broken_invariants(schedule, evidence)
    assert sentence.endswith("step s0 was executed 2 times, and may be executed 1 times")


@pytest.mark.thorough
@pytest.mark.parametrize("backend", BACKENDS)
def test_forty_schedules_break_no_invariant(backend: str) -> None:
    seeds = range(FIRST_SEED, FIRST_SEED + SCHEDULES[backend])
    with open_stage(with_account=backend != "local") as stage:
        assert sum(run_schedules(stage, backend, seed) for seed in seeds) == 0
