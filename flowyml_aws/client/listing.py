"""Lists of runs, from the documents in their stores."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.core.errors import DamagedArtifactError, FlowymlError, RunNotFoundError
from flowyml_aws.services.connect import find_run
from flowyml_aws.submission.losses import total_lost
from flowyml_aws.submission.record import (
    RunState,
    created_at,
    newest_first,
    read_outcome,
    read_record,
    run_ids,
    slug_of,
)

__all__ = ["STATES", "ListedRun", "RunFilter", "list_runs"]

_UNKNOWN, _UNREADABLE = "unknown", "unreadable"
STATES = (*(state.value for state in RunState), _UNKNOWN, _UNREADABLE)
"""States of listed runs. The end of an unknown one is not recorded, and it was not asked."""

_MAX_ASKED = 10


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run in a list.

    Attributes:
        pipeline, backend: None if its record is damaged.
        state: One of `STATES`.
        ended_at: End of the run, in seconds since the epoch; None if it is not known to have ended.
        cost_usd: Cost of its jobs and of their lost attempts; None if it is unknown.
        store: URI of its store.
        needs_client: Whether it continues only when a client drives it.
        waits_for_approval: Whether nothing can happen before someone answers an approval.
        dropped: Number of items of maps that failed and that the run continued without.
        part_of: Run and dynamic step of a sub-run; None for any other run.
    """

    run_id: str
    pipeline: str | None
    backend: str | None
    state: str
    created_at: float
    ended_at: float | None
    cost_usd: float | None
    store: str
    needs_client: bool
    dropped: int = 0
    waits_for_approval: bool = False
    part_of: str | None = None


@dataclass(frozen=True, slots=True)
class RunFilter:
    """The runs that a list contains.

    Attributes:
        pipeline: Name of their pipeline, or None for all.
        states: Their states; empty for all.
        since: Earliest time of their creation, in seconds since the epoch.
        limit: Maximum number of runs; None for no limit.
        with_sub_runs: Whether it contains sub-runs.
    """

    pipeline: str | None = None
    states: Collection[str] = ()
    since: float = 0.0
    limit: int | None = None
    with_sub_runs: bool = False

    def may_match(self, run_id: str) -> bool:
        """Return whether a run with this id can match, before its documents are read."""
        # The time in an id has no fraction.
        return created_at(run_id) >= int(self.since) and (
            self.pipeline is None or run_id.rsplit("-", 3)[0] == slug_of(self.pipeline)
        )

    def includes(self, run: ListedRun) -> bool:
        """Return whether a run can match, before its service is asked for its state."""
        return self.with_sub_runs or run.part_of is None

    def matches(self, run: ListedRun) -> bool:
        """Return whether a run matches."""
        return (
            run.created_at >= self.since
            and self.pipeline in (None, run.pipeline)
            and (not self.states or run.state in self.states)
        )


def list_runs(stores: Iterable[ArtifactStore], wanted: RunFilter) -> list[ListedRun]:
    """Return the runs that match, newest first.

    Of the runs whose end is not recorded, the services of the newest 10 are asked for their state.
    """
    store_of = {run_id: store for store in stores for run_id in run_ids(store)}
    run_names = iter([each for each in newest_first(store_of) if wanted.may_match(each)])
    found: list[ListedRun] = []
    asked = 0
    while (part := list(islice(run_names, STORE_REQUESTS))) and _is_short(found, wanted):
        read = map_concurrently(
            lambda run_id: _read(store_of[run_id], run_id), part, limit=STORE_REQUESTS
        )
        runs = [run for run in read if run is not None and wanted.includes(run)]
        unended = [run for run in runs if run.state == _UNKNOWN][: _MAX_ASKED - asked]
        asked += len(unended)
        states = map_concurrently(_with_state, unended, limit=_MAX_ASKED)
        answers = dict(zip(unended, states, strict=True))
        found += (run for run in _settled(runs, answers) if wanted.matches(run))
    found.sort(key=lambda run: -run.created_at)
    return found[: wanted.limit]


def _is_short(found: Sequence[ListedRun], wanted: RunFilter) -> bool:
    return wanted.limit is None or len(found) < wanted.limit


def _settled(runs: Iterable[ListedRun], answers: dict[ListedRun, ListedRun]) -> Iterator[ListedRun]:
    return (answers.get(run, run) for run in runs)


def _read(store: ArtifactStore, run_id: str) -> ListedRun | None:
    """Return a run from its record and its outcome; None if it has no record."""
    run = ListedRun(
        run_id=run_id,
        pipeline=None,
        backend=None,
        state=_UNREADABLE,
        created_at=created_at(run_id),
        ended_at=None,
        cost_usd=None,
        store=store.uri,
        needs_client=False,
    )
    try:
        record = read_record(store, run_id)
        run = replace(
            run,
            pipeline=record.pipeline,
            backend=record.backend,
            created_at=record.created_at,
            part_of=None
            if record.parent is None
            else f"{record.parent.run_id}/{record.parent.step}",
        )
        outcome = read_outcome(store, run_id)
    except RunNotFoundError:
        return None  # its client stopped before it had written the record
    except DamagedArtifactError:
        return run  # `status` reports the reason
    if outcome is None:
        return replace(run, state=_UNKNOWN)
    return replace(
        run,
        state=outcome.state.value,
        ended_at=outcome.ended_at,
        cost_usd=outcome.counted_usd
        if outcome.counted_usd is not None
        else _cost_usd(outcome.cost_usd, total_lost(outcome.lost.values()).cost_usd),
        dropped=outcome.dropped,
    )


def _with_state(run: ListedRun) -> ListedRun:
    """Return a run whose end is not recorded, with its state as its services report it."""
    try:
        status = find_run(run.run_id).status()
    except FlowymlError:
        return run  # `status` reports the reason
    return replace(
        run,
        state=status.state.value,
        ended_at=status.ended_at,
        cost_usd=status.counted_usd,
        needs_client=any(view.needs_client for view in status.jobs),
        waits_for_approval=status.waits_for_approval,
    )


def _cost_usd(jobs_usd: float | None, lost_usd: float) -> float | None:
    return None if jobs_usd is None and not lost_usd else (jobs_usd or 0.0) + lost_usd
