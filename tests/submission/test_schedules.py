"""Schedules in a store: decisions at their times, and the runs that they copy."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.stored_plan import StoredPlan
from flowyml_aws.submission.package import write_resumption
from flowyml_aws.submission.record import read_plan, read_record, read_spec
from flowyml_aws.submission.resume import Resumption
from flowyml_aws.submission.schedules import (
    TIME_VARIABLE,
    Firing,
    Schedule,
    begin_firing,
    latest_firings,
    read_schedule,
    write_scheduled_run,
)
from tests.support.plans import a_job, a_plan, a_spec
from tests.support.stores import date_back, overwrite

TEMPLATE, RUN = "p-20261130-060000-000001", "p-20261201-060003-000002"
SIX, SEVEN = "2026-12-01T06:00:00Z", "2026-12-01T07:00:00Z"
PLAN = a_plan(a_job("a"), a_job("b", after=["a"], environment={"LEVEL": "9"}))


@pytest.fixture
def store(tmp_path: Path) -> DirectoryArtifactStore:
    return DirectoryArtifactStore(tmp_path)


@pytest.fixture
def schedule(store: DirectoryArtifactStore) -> Schedule:
    """A schedule whose documents are in the store."""
    specs = {name: a_spec(name) for name in ("a", "b")}
    places = write_resumption(store, Resumption(PLAN, specs, {}), TEMPLATE, "none")
    plan = StoredPlan.of(PLAN).to_json(indent=None)
    store.put(RunLayout(TEMPLATE).plan, plan)
    return Schedule(
        name="nightly",
        template=TEMPLATE,
        pipeline=PLAN.pipeline,
        backend="batch",
        created_at=5.0,
        client="ana on laptop",
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        specs=places,
        queue="driver",
        driver_usd_hour=0.05,
    )


def begin(
    store: DirectoryArtifactStore,
    schedule: Schedule,
    time: str,
    job: str,
    ended: bool | None = True,
) -> Firing:
    return begin_firing(store, schedule, time, job, f"run-of-{job}", lambda run_id: ended)


def test_the_first_job_decides_about_a_time(
    store: DirectoryArtifactStore, schedule: Schedule
) -> None:
    assert begin(store, schedule, SIX, "job1").run_id == "run-of-job1"
    # EventBridge Scheduler may invoke a target twice for one time.
    assert begin(store, schedule, SIX, "job2") == Firing(time=SIX, job="job1", run_id="run-of-job1")


def test_a_time_is_skipped_while_the_last_run_has_not_ended(
    store: DirectoryArtifactStore, schedule: Schedule
) -> None:
    begin(store, schedule, SIX, "job1")
    skipped = begin(store, schedule, SEVEN, "job2", ended=False)
    assert (skipped.run_id, skipped.unended) == (None, "run-of-job1")
    # The run that is asked about is the last one that was started, not the skipped time.
    later = begin(store, schedule, "2026-12-01T08:00:00Z", "job3", ended=True)
    assert later.run_id == "run-of-job3"
    assert [each.time[11:13] for each in latest_firings(store, TEMPLATE)] == ["08", "07", "06"]


def test_many_skipped_times_do_not_hide_the_run_that_has_not_ended(
    store: DirectoryArtifactStore, schedule: Schedule
) -> None:
    times = [f"2026-12-{day:02}T{hour:02}:00:00Z" for day in (1, 2, 3) for hour in range(24)]
    for time in times:
        firing = begin(store, schedule, time, f"job-{time}", ended=False)
    assert firing.unended == f"run-of-job-{times[0]}"
    # The job of an early time asks again, after its host was lost.
    assert begin(store, schedule, times[0], "other").job == f"job-{times[0]}"


def test_jobs_that_start_together_start_one_run(
    store: DirectoryArtifactStore, schedule: Schedule
) -> None:
    def start_another(run_id: str) -> bool:
        if len(latest_firings(store, TEMPLATE)) == 1:  # while this job asks
            begin(store, schedule, SEVEN, "job2")
        return run_id == "run-of-job1"

    begin(store, schedule, SIX, "job1")
    eight = "2026-12-01T08:00:00Z"
    firing = begin_firing(store, schedule, eight, "job3", "run-of-job3", start_another)
    assert (firing.run_id, firing.unended) == (None, "run-of-job2")


def test_a_run_that_is_not_written_yet_has_not_ended(
    store: DirectoryArtifactStore, schedule: Schedule
) -> None:
    begin(store, schedule, SIX, "job1")
    assert begin(store, schedule, SEVEN, "job2", ended=None).unended == "run-of-job1"
    date_back(store, RunLayout(TEMPLATE).firing(1), 1000.0)
    later = begin(store, schedule, "2026-12-01T08:00:00Z", "job3", ended=None)
    assert later.run_id == "run-of-job3"


def test_a_run_of_a_schedule_is_a_copy_that_knows_its_time(
    store: DirectoryArtifactStore, schedule: Schedule
) -> None:
    record = write_scheduled_run(store, schedule, SIX, RUN, 100.0)
    assert read_record(store, RUN) == record
    plan = read_plan(store, RUN)
    assert [job.environment for job in plan.jobs] == [
        {TIME_VARIABLE: SIX},
        {"LEVEL": "9", TIME_VARIABLE: SIX},
    ]
    assert plan.notes == (f"run of schedule 'nightly' at {SIX}",)
    assert [job.after for job in plan.jobs] == [(), ("a",)]
    assert read_spec(store, record, "b").run_id == RUN
    assert RunLayout(RUN).driver in {entry.key for entry in store.walk("runs/")}


def test_a_copy_can_be_written_again_after_its_job_was_lost(
    store: DirectoryArtifactStore, schedule: Schedule
) -> None:
    write_scheduled_run(store, schedule, SIX, RUN, 100.0)
    store.delete([RunLayout(RUN).run])
    assert write_scheduled_run(store, schedule, SIX, RUN, 200.0).created_at == 200.0


def test_a_plan_that_was_replaced_is_not_executed(
    store: DirectoryArtifactStore, schedule: Schedule
) -> None:
    other = StoredPlan.of(a_plan(a_job("a"))).to_json(indent=None)
    overwrite(store, RunLayout(TEMPLATE).plan, other)
    with pytest.raises(DamagedArtifactError, match=r"plan\.json is not the document"):
        write_scheduled_run(store, schedule, SIX, RUN, 100.0)


def test_a_schedule_is_read_by_its_digest(
    store: DirectoryArtifactStore, schedule: Schedule
) -> None:
    data = schedule.to_json()
    store.put(RunLayout(TEMPLATE).schedule, data)
    assert read_schedule(store, TEMPLATE, hashlib.sha256(data).hexdigest()) == schedule
    with pytest.raises(DamagedArtifactError, match=r"schedule\.json is not the document"):
        read_schedule(store, TEMPLATE, "0" * 64)
