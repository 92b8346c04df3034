"""Schedules in the store: a run that is written once and copied at each time of the schedule.

The copied run has no record, so it is not a run itself. All that its copies execute is decided when
the schedule is created: plan, code, values and settings. A copy needs nothing but the store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Literal

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.core.errors import DamagedArtifactError
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

_ORDERED_WITHIN_S = 24 * 3600.0
_WRITTEN_WITHIN_S = 900.0  # from the decision about a run to its record


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

    @property
    def last_run(self) -> str | None:
        """Id of the last run at this time."""
        return self.run_id or self.unended


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
    has_ended: Callable[[str], bool | None],
) -> Firing:
    """Return the decision at a time of a schedule, which the first caller makes.

    The run is skipped if the last one has not ended. Decisions are numbered, and each number exists
    once: of several jobs that start together, the next one knows the run of the first one.

    Args:
        store: Store of the schedule.
        schedule: The schedule.
        time: Time of the schedule.
        job: Id of this Batch job.
        new_run_id: Id for the run.
        has_ended: Returns whether a run has ended; None if it does not exist.
    """
    layout = RunLayout(schedule.template)
    while True:
        known = _since(store, schedule.template, time)
        for _, firing in known:
            if firing.time == time:
                return firing
        firing = Firing(time=time, job=job, run_id=new_run_id)
        last_run = known[0][1].last_run if known else None
        if last_run is not None and not _may_follow(store, schedule, known, last_run, has_ended):
            firing = Firing(time=time, job=job, unended=last_run)
        number = known[0][0] + 1 if known else 1
        if store.create(layout.firing(number), firing.to_json()):
            return firing


def latest_firings(store: ArtifactStore, template: str, limit: int = 20) -> list[Firing]:
    """Return the latest decisions of a schedule, newest first."""
    numbers = _numbers(store, template)[:limit]
    return [firing for _, firing in _read_firings(store, template, numbers)]


def _since(store: ArtifactStore, template: str, time: str) -> list[tuple[int, Firing]]:
    """Return the latest decision and those since a day before a time, newest first.

    Times are decided almost in their order. A job whose host is lost may ask about its time again
    later.
    """
    numbers, found = _numbers(store, template), list[tuple[int, Firing]]()
    oldest = _seconds_of(time) - _ORDERED_WITHIN_S
    while numbers and (not found or _seconds_of(found[-1][1].time) >= oldest):
        part, numbers = numbers[:STORE_REQUESTS], numbers[STORE_REQUESTS:]
        found += _read_firings(store, template, part)
    return found


def _may_follow(
    store: ArtifactStore,
    schedule: Schedule,
    known: Sequence[tuple[int, Firing]],
    last_run: str,
    has_ended: Callable[[str], bool | None],
) -> bool:
    """Return whether a run may follow the last one: it has ended, or was never written."""
    if (ended := has_ended(last_run)) is not None:
        return ended
    number = next((number for number, firing in known if firing.run_id == last_run), None)
    if number is None:
        return True
    return store.age_s(RunLayout(schedule.template).firing(number)) >= _WRITTEN_WITHIN_S


def _numbers(store: ArtifactStore, template: str) -> list[int]:
    """Return the numbers of all decisions, newest first."""
    names = store.children(RunLayout(template).firings)
    return sorted((int(name.removesuffix(".json")) for name in names), reverse=True)


def _read_firings(
    store: ArtifactStore, template: str, numbers: Sequence[int]
) -> list[tuple[int, Firing]]:
    def read(number: int) -> tuple[int, Firing]:
        key = RunLayout(template).firing(number)
        return number, read_document(Firing, store.get(key), f"{store.uri}/{key}")

    return map_concurrently(read, numbers, limit=STORE_REQUESTS)


def _seconds_of(time: str) -> float:
    return datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()


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
