"""What is written about a run as a whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone
from enum import Enum
from typing import Literal

from pydantic import Field

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.errors import InvalidKeyError
from flowyml_aws.artifacts.layout import RUNS, RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError, RunNotFoundError
from flowyml_aws.planning.plan import ExecutionPlan

__all__ = [
    "Bill",
    "RunOutcome",
    "RunRecord",
    "RunState",
    "make_run_id",
    "read_outcome",
    "read_plan",
    "read_record",
    "run_ids",
]


class RunState(str, Enum):
    """How a run is as a whole."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunRecord(Document):
    """A run, written before anything is submitted.

    Attributes:
        created_at: Seconds since the epoch.
        client: Host name.
        specs: SHA-256 of each job's spec.
    """

    version: Literal[1] = 1
    run_id: str
    pipeline: str
    backend: str
    created_at: float
    client: str
    specs: dict[str, str]


class Bill(Document):
    """What a service bills for a job, its attempts together.

    Attributes:
        instance_type: Of the last attempt, as far as it is told.
        billed_s: Seconds that are paid for at the price on demand.
        ran_s: Seconds that it really took.
    """

    instance_type: str | None
    billed_s: int
    ran_s: int
    is_spot: bool

    @property
    def saved(self) -> float:
        """The share of its time that is not paid for."""
        return max(0.0, 1 - self.billed_s / self.ran_s) if self.ran_s else 0.0

    def after(self, earlier: Bill | None) -> Bill:
        """This one and that of earlier attempts as one."""
        if earlier is None:
            return self
        return Bill(
            instance_type=self.instance_type,
            billed_s=self.billed_s + earlier.billed_s,
            ran_s=self.ran_s + earlier.ran_s,
            is_spot=self.is_spot or earlier.is_spot,
        )


class RunOutcome(Document):
    """How a run ended, and what its jobs are billed for where their service tells."""

    version: Literal[1] = 1
    state: RunState
    ended_at: float
    bills: dict[str, Bill] = Field(default_factory=dict)


def make_run_id(pipeline: str, now: datetime, random_hex: Callable[[int], str]) -> str:
    """An id that sorts by time and fits every name of AWS: `digits-20261122-150531-3f9a1c`."""
    slug = re.sub(r"[^a-z0-9]+", "-", pipeline.lower()).strip("-")[:20].strip("-") or "run"
    return f"{slug}-{now.astimezone(timezone.utc):%Y%m%d-%H%M%S}-{random_hex(3)}"


def run_ids(store: ArtifactStore) -> list[str]:
    """Every run in a store, the newest first; some may have no record: their client died."""
    found = [name for name in store.children(RUNS) if name.count("-") >= 3]
    return sorted(found, key=lambda name: name.rsplit("-", 3)[1:], reverse=True)


def read_record(store: ArtifactStore, run_id: str) -> RunRecord:
    """A run's record.

    Raises:
        RunNotFoundError: The store has no such run.
    """
    key = RunLayout(run_id).run
    try:
        return read_document(RunRecord, store.get(key), f"{store.uri}/{key}")
    except (ArtifactNotFoundError, InvalidKeyError) as error:
        raise RunNotFoundError(
            what=f"No run {run_id!r} in {store.uri}",
            why="nothing was recorded under this id",
            fix="list the runs with `flowyml-aws runs`, and check the setting `store`",
        ) from error


def read_plan(store: ArtifactStore, run_id: str) -> ExecutionPlan:
    """The plan of a run."""
    key = RunLayout(run_id).plan
    return read_document(ExecutionPlan, store.get(key), f"{store.uri}/{key}")


def read_outcome(store: ArtifactStore, run_id: str) -> RunOutcome | None:
    """How a run ended, or None while nobody has seen its end."""
    key = RunLayout(run_id).outcome
    try:
        return read_document(RunOutcome, store.get(key), f"{store.uri}/{key}")
    except ArtifactNotFoundError:
        return None
