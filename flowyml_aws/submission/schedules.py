"""Schedules in the store: a run that is written once and copied at each time of the schedule.

The copied run has no record, so it is not a run itself. All that its copies execute is decided when
the schedule is created: plan, code, values and settings. A copy needs nothing but the store.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Literal

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.stored_plan import StoredPlan
from flowyml_aws.submission.origin import read_origin
from flowyml_aws.submission.package import write_record, write_resumption
from flowyml_aws.submission.record import DriverRecord, RunRecord, SpecPlace, read_spec
from flowyml_aws.submission.resume import EarlierRun, make_resumption

__all__ = [
    "TIME_VARIABLE",
    "Firing",
    "Schedule",
    "begin_firing",
    "latest_firings",
    "read_schedule",
    "write_scheduled_run",
]

TIME_VARIABLE = "FLOWYML_SCHEDULED_TIME"
"""Environment variable of the jobs of a scheduled run: the time of the schedule, in UTC."""


class Schedule(Document):
    """A schedule, as its runs find it in the store. It is written once.

    Attributes:
        name: Name of the schedule.
        template: Id of the run that is copied.
        created_at: Seconds since the epoch.
        client: User and machine that created it.
        plan_sha256: Digest of the stored plan.
        specs: Place of each job's spec.
        queue: Queue of the jobs that drive the runs.
        driver_usd_hour: Price of their machine; None if it is unknown.
    """

    version: Literal[1] = 1
    name: str
    template: str
    pipeline: str
    backend: str
    created_at: float
    client: str
    plan_sha256: str
    specs: dict[str, SpecPlace]
    queue: str
    driver_usd_hour: float | None = None

    def template_record(self) -> RunRecord:
        """Return a record of the run that is copied, which is not stored."""
        return RunRecord(
            run_id=self.template,
            pipeline=self.pipeline,
            backend=self.backend,
            created_at=self.created_at,
            client=self.client,
            specs=self.specs,
        )


class Firing(Document):
    """The decision at one time of a schedule: its run, or why there is none.

    Attributes:
        time: Time of the schedule, as EventBridge Scheduler writes it.
        job: Id of the Batch job that has decided it.
        run_id: Id of the run; None if it was skipped.
        unended: Run of an earlier time that had not ended, for which this one was skipped.
    """

    version: Literal[1] = 1
    time: str
    job: str
    run_id: str | None = None
    unended: str | None = None


def read_schedule(store: ArtifactStore, template: str, sha256: str) -> Schedule:
    """Return a schedule.

    Raises:
        DamagedArtifactError: The bytes are not those of the schedule that was created.
        ArtifactNotFoundError: It does not exist.
    """
    key = RunLayout(template).schedule
    data = _verified(store, key, sha256)
    return read_document(Schedule, data, f"{store.uri}/{key}")


def begin_firing(
    store: ArtifactStore,
    schedule: Schedule,
    time: str,
    job: str,
    new_run_id: str,
    has_ended: Callable[[str], bool],
) -> Firing:
    """Return the decision at a time of a schedule, which the first caller makes.

    The run is skipped if that of the latest earlier time has not ended.

    Args:
        store: Store of the schedule.
        schedule: The schedule.
        time: Time of the schedule.
        job: Id of this Batch job.
        new_run_id: Id for the run.
        has_ended: Returns whether a run has ended.
    """
    key = RunLayout(schedule.template).firing(_key_of(time))
    if (known := _read_firing(store, key)) is not None:
        return known
    earlier = [each for each in latest_firings(store, schedule.template) if each.run_id]
    unended = earlier[0].run_id if earlier else None
    if unended is not None and not has_ended(unended):
        firing = Firing(time=time, job=job, unended=unended)
    else:
        firing = Firing(time=time, job=job, run_id=new_run_id)
    if store.create(key, firing.to_json()):
        return firing
    return _read_firing(store, key) or firing


def latest_firings(store: ArtifactStore, template: str, limit: int = 20) -> list[Firing]:
    """Return the latest decisions of a schedule, newest first."""
    layout = RunLayout(template)
    names = store.children(layout.firings)[::-1][:limit]
    found = (_read_firing(store, f"{layout.firings}{name}") for name in names)
    return [firing for firing in found if firing is not None]


def write_scheduled_run(
    store: ArtifactStore, schedule: Schedule, time: str, run_id: str, now: float
) -> RunRecord:
    """Write the documents of a run of a schedule, and return its record.

    Args:
        store: Store of the schedule.
        schedule: The schedule.
        time: Time of the schedule.
        run_id: Id of the new run.
        now: Seconds since the epoch.

    Raises:
        DamagedArtifactError: The plan or a spec is not that of the schedule.
    """
    template = schedule.template
    key = RunLayout(template).plan
    data = _verified(store, key, schedule.plan_sha256)
    planned = read_document(StoredPlan, data, f"{store.uri}/{key}").plan
    copied = schedule.template_record()
    names = [job.name for job in planned.jobs]
    specs = map_concurrently(
        lambda name: read_spec(store, copied, name), names, limit=STORE_REQUESTS
    )
    earlier = EarlierRun(template, planned, {}, dict(zip(names, specs, strict=True)), {})
    copy = make_resumption(run_id, earlier)
    plan = _scheduled(planned, copy.plan, schedule.name, time)
    places = write_resumption(store, copy, run_id, template, read_origin(store, template))
    driver = DriverRecord(queue=schedule.queue, price_usd_hour=schedule.driver_usd_hour)
    store.create(RunLayout(run_id).driver, driver.to_json())
    return write_record(store, plan, places, run_id, now)


def _scheduled(
    planned: ExecutionPlan, copied: ExecutionPlan, name: str, time: str
) -> ExecutionPlan:
    """Return the plan of a run of a schedule, whose jobs know the time of the schedule."""
    jobs = tuple(
        job.model_copy(update={"environment": {**job.environment, TIME_VARIABLE: time}})
        for job in copied.jobs
    )
    notes = (*planned.notes, f"run of schedule {name!r} at {time}")
    return copied.model_copy(update={"jobs": jobs, "notes": notes, "estimate": planned.estimate})


def _verified(store: ArtifactStore, key: str, sha256: str) -> bytes:
    data = store.get(key)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DamagedArtifactError(
            what=f"{store.uri}/{key} is not the document of the schedule",
            why="its digest differs from that of the schedule when it was created",
            fix="delete the schedule, and create it again",
        )
    return data


def _read_firing(store: ArtifactStore, key: str) -> Firing | None:
    try:
        return read_document(Firing, store.get(key), f"{store.uri}/{key}")
    except ArtifactNotFoundError:
        return None


def _key_of(time: str) -> str:
    """Return a time as a part of a key: `2026-11-30T06:00:00Z` as `20261130T060000Z`."""
    return re.sub(r"[^0-9A-Za-z]", "", time)
