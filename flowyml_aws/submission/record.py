"""Documents about a whole run: its record, plan and outcome."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.errors import InvalidKeyError
from flowyml_aws.artifacts.layout import RUNS, RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError, RunNotFoundError
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.stored_plan import StoredPlan
from flowyml_aws.runtime.argument import SpecArgument
from flowyml_aws.runtime.spec import JobSpec
from flowyml_aws.runtime.specs import read_spec_at
from flowyml_aws.submission.losses import LostAttempts
from flowyml_aws.submission.times import JobTimes

__all__ = [
    "Bill",
    "CostLimit",
    "DriverRecord",
    "JobArray",
    "ParentRun",
    "RunOutcome",
    "RunRecord",
    "RunState",
    "SpecPlace",
    "created_at",
    "make_run_id",
    "newest_first",
    "read_outcome",
    "read_plan",
    "read_record",
    "read_spec",
    "run_ids",
    "slug_of",
    "sub_run_id",
]


class RunState(str, Enum):
    """State of a whole run."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class SpecPlace:
    """The place of a job's spec in a pack of specs, and its digest."""

    pack: int
    offset: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class JobArray:
    """Jobs that are submitted as one array job, and the digest of the index of their specs.

    Attributes:
        jobs: Names of the jobs, by index.
    """

    jobs: tuple[str, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class ParentRun:
    """The run that contains a sub-run.

    Attributes:
        step: Its dynamic step that has returned the pipeline.
        depth: Number of runs around the sub-run, 1 or more.
    """

    run_id: str
    step: str
    depth: int


class RunRecord(Document):
    """A run, written before anything is submitted.

    Attributes:
        created_at: Creation time, in seconds since the epoch.
        client: Host name of the client.
        specs: Place of each job's spec.
        resumes: Id of the run that this one continues, or None.
        arrays: Jobs that are submitted together. All clients use the same arrays, whichever
            version they have and whichever jobs have moved.
        parent: The run that contains this one, if it is a sub-run; otherwise None.
    """

    version: Literal[2] = 2
    run_id: str
    pipeline: str
    backend: str
    created_at: float
    client: str
    specs: dict[str, SpecPlace]
    resumes: str | None = None
    arrays: tuple[JobArray, ...] = ()
    parent: ParentRun | None = None

    @model_serializer(mode="wrap")
    def _without_unset_members(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return the members, so that earlier versions can read runs without these."""
        members: dict[str, Any] = serialize(self)
        if not self.arrays:
            del members["arrays"]
        if self.parent is None:
            del members["parent"]
        return members

    def spec_argument(self, job: str, store: str) -> str:
        """Return the argument of the runner of a job.

        Args:
            job: Name of the job.
            store: URI of the run's store.
        """
        place = self.specs[job]
        uri = f"{store}/{RunLayout(self.run_id).specs(place.pack)}"
        return f"{uri}#sha256={place.sha256},bytes={place.offset}+{place.size_bytes}"

    def array_argument(self, number: int, store: str) -> str:
        """Return the argument of the runner of all children of an array.

        Args:
            number: Position of the array in `arrays`.
            store: URI of the run's store.
        """
        uri = f"{store}/{RunLayout(self.run_id).array(number)}"
        return f"{uri}#sha256={self.arrays[number].sha256}"


class Bill(Document):
    """The bill of a job, with all attempts added up.

    Attributes:
        instance_type: Instance type of the last attempt, or None if it was not reported.
        billed_s: Seconds that are billed at the on-demand price, of all instances together.
        ran_s: Seconds that the job ran, of all instances together.
    """

    instance_type: str | None
    billed_s: int
    ran_s: int
    is_spot: bool

    @property
    def saved(self) -> float:
        """Share of the run time that is not billed, from 0 to 1."""
        return max(0.0, 1 - self.billed_s / self.ran_s) if self.ran_s else 0.0

    def after(self, earlier: Bill | None) -> Bill:
        """Return this bill with the bill of earlier attempts added."""
        if earlier is None:
            return self
        return Bill(
            instance_type=self.instance_type,
            billed_s=self.billed_s + earlier.billed_s,
            ran_s=self.ran_s + earlier.ran_s,
            is_spot=self.is_spot or earlier.is_spot,
        )


class CostLimit(Document):
    """The cost limit of a run, and its counted cost at one moment.

    Attributes:
        limit_usd: Maximum cost of the run.
        counted_usd: Cost of its attempts, lost ones included, without starts of machines.
        reached_at: Time at which a client or driver ended the run at the limit, in seconds since
            the epoch; None if the run did not reach it.
    """

    limit_usd: float
    counted_usd: float
    reached_at: float | None = None


class DriverRecord(Document):
    """The job at AWS Batch that drives a detached run.

    Attributes:
        queue: Name of its queue.
        price_usd_hour: Price of its machine; None if it is unknown.
    """

    version: Literal[1] = 1
    queue: str
    price_usd_hour: float | None = None


class RunOutcome(Document):
    """The final state of a run. A run that is to be ended has one before, with the intended state.

    Attributes:
        cost_usd: Cost of all jobs without their start; None if there is none or one is unknown.
        bills: Bills of the jobs whose service reports them, by job.
        lost: Lost attempts of the jobs that have any, by job.
        times: Times of the jobs at their services, by job, as far as the client knew them.
        ended: Last attempts of jobs that ended without a result, by job.
        counted_usd: Cost of all attempts, lost ones and those without a result included, without
            starts of machines, as far as prices are known; None on this machine.
        cost_limit: Cost limit and counted cost of the run; None without a limit.
        dropped: Number of items of maps that failed and that the run continued without.
        unbilled: Jobs whose bill, or a part of it, was not known in time.
    """

    version: Literal[1] = 1
    state: RunState
    ended_at: float
    cost_usd: float | None = None
    bills: dict[str, Bill] = Field(default_factory=dict)
    lost: dict[str, LostAttempts] = Field(default_factory=dict)
    times: dict[str, JobTimes] = Field(default_factory=dict)
    ended: dict[str, LostAttempts] = Field(default_factory=dict)
    counted_usd: float | None = None
    cost_limit: CostLimit | None = None
    dropped: int = 0
    unbilled: tuple[str, ...] = ()


def make_run_id(pipeline: str, now: datetime, random_hex: Callable[[int], str]) -> str:
    """Return a run id that sorts by time and is valid in all AWS resource names.

    Example: `digits-20261122-150531-3f9a1c`. The last part begins with the fraction of the second,
    in units of 1/4096 s.
    """
    fraction = now.microsecond * 4096 // 1_000_000
    time = f"{now.astimezone(timezone.utc):%Y%m%d-%H%M%S}-{fraction:03x}"
    return f"{slug_of(pipeline)}-{time}{random_hex(2)[:3]}"


def sub_run_id(run_id: str, pipeline: str, step: str, repetition: int) -> str:
    """Return the id of the sub-run of a dynamic step.

    It has the time of the run that contains it, and is the same for all clients.

    Args:
        run_id: Id of the run that contains it.
        pipeline: Name of the pipeline.
        step: Name of the dynamic step.
        repetition: Repetition of the job of the step.
    """
    digest = hashlib.sha256(f"{run_id} {step} {repetition}".encode()).hexdigest()
    day, time, _ = run_id.rsplit("-", 3)[1:]
    return f"{slug_of(pipeline)}-{day}-{time}-{digest[:6]}"


def slug_of(pipeline: str) -> str:
    """Return the start of the run ids of a pipeline, which other pipelines may share."""
    return re.sub(r"[^a-z0-9]+", "-", pipeline.lower()).strip("-")[:20].strip("-") or "run"


def created_at(run_id: str) -> float:
    """Return when a run was created according to its id, in seconds since the epoch; 0 if unknown.

    Its record has the precise time.
    """
    match = re.search(r"-(\d{8}-\d{6})-[^-]*$", run_id)
    try:
        time = datetime.strptime(match[1] if match else "", "%Y%m%d-%H%M%S")
    except ValueError:
        return 0.0
    return time.replace(tzinfo=timezone.utc).timestamp()


def run_ids(store: ArtifactStore) -> list[str]:
    """Return the ids of all runs in a store, newest first.

    A run may have no record if its client died.
    """
    return newest_first(name for name in store.children(RUNS) if name.count("-") >= 3)


def newest_first(run_ids: Iterable[str]) -> list[str]:
    """Return ids of runs sorted by the time in them, newest first."""
    return sorted(run_ids, key=lambda run_id: run_id.rsplit("-", 3)[1:], reverse=True)


def read_record(store: ArtifactStore, run_id: str) -> RunRecord:
    """Return a run's record.

    Raises:
        RunNotFoundError: The store contains no record of this run.
    """
    key = RunLayout(run_id).run
    try:
        return read_document(RunRecord, store.get(key), f"{store.uri}/{key}")
    except (ArtifactNotFoundError, InvalidKeyError) as error:
        raise RunNotFoundError(
            what=f"No run {run_id!r} in {store.uri}",
            why="no run was recorded under this id",
            fix="list the runs with `flowyml-aws runs`, and check the setting `store`",
        ) from error


def read_plan(store: ArtifactStore, run_id: str) -> ExecutionPlan:
    """Return the plan of a run."""
    key = RunLayout(run_id).plan
    return read_document(StoredPlan, store.get(key), f"{store.uri}/{key}").plan


def read_spec(store: ArtifactStore, record: RunRecord, job: str) -> JobSpec:
    """Return the spec of a job of a run.

    Raises:
        DamagedArtifactError: The bytes are not the spec that was submitted, or another version
            wrote it.
        ArtifactNotFoundError: The object does not exist.
    """
    return read_spec_at(store, SpecArgument.parse(record.spec_argument(job, store.uri)))


def read_outcome(store: ArtifactStore, run_id: str) -> RunOutcome | None:
    """Return the outcome of a run, or None while no client has recorded it."""
    key = RunLayout(run_id).outcome
    try:
        return read_document(RunOutcome, store.get(key), f"{store.uri}/{key}")
    except ArtifactNotFoundError:
        return None
