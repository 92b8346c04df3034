"""The values that the steps of a run have logged, read when they are used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from flowyml_aws.artifacts.layout import LOGGED, RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.caching.run_keys import StepKey, read_keys
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError
from flowyml_aws.runtime.logged import StepLogged, read_logged
from flowyml_aws.runtime.result import read_result
from flowyml_aws.submission.record import created_at, read_plan
from flowyml_aws.submission.status import RunStatus

__all__ = ["RunLogged"]

_FEW_JOBS = 3  # of more, a listing shows the jobs that have logged anything
_MAX_RUNS = 20  # that a run reuses outputs of, and between a cached step and its execution


class RunLogged(Mapping[str, StepLogged]):
    """Logged values by step, read from the store on first access.

    A step that was not executed has the values of the run that executed it, if the run still
    exists.

    Args:
        store: Store of the run.
        status: Status of the run.
    """

    def __init__(self, store: ArtifactStore, status: RunStatus) -> None:
        self._store, self._status = store, status
        self._steps: dict[str, StepLogged] | None = None

    def __getitem__(self, step: str) -> StepLogged:
        return self._read()[step]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Last value of each metric, by step and name; only steps that have metrics."""
        return {
            step: {name: series.last for name, series in logged.metrics.items()}
            for step, logged in self.items()
            if logged.metrics
        }

    def _read(self) -> dict[str, StepLogged]:
        if self._steps is None:
            reports = self._status.steps
            cached = {
                name: report.produced_in
                for name, report in reports.items()
                if report.produced_in is not None
            }
            cached |= self._not_stored(cached.values())
            found = {**_from_runs(self._store, cached), **self._from_jobs()}
            self._steps = {name: found[name] for name in reports if name in found}
        return self._steps

    def _not_stored(self, runs: Iterable[str]) -> dict[str, str]:
        """Return the run of each step that was not needed, as its outputs were not stored.

        It is the run of a step that depends on it, in which it had the same cache key.
        """
        names = [name for name, step in self._status.reused.items() if step.run_id is None]
        own = _keys(self._store, self._status.run_id) if names else {}
        found: dict[str, str] = {}
        for run_id in sorted(set(runs), key=created_at)[-_MAX_RUNS:] if own else ():
            steps = _keys(self._store, run_id)
            found |= {
                name: run_id for name in names if name in own and steps.get(name) == own[name]
            }
        return found

    def _from_jobs(self) -> dict[str, StepLogged]:
        attempts = {
            view.job.name: view.attempt if view.result is None else view.result.attempt
            for view in self._status.jobs
            if view.attempt
        }
        run_id = self._status.run_id
        if len(attempts) > _FEW_JOBS:
            layout = RunLayout(run_id)
            written = {entry.key for entry in self._store.walk(layout.jobs)}
            attempts = {
                job: attempt
                for job, attempt in attempts.items()
                if layout.attempt(job, attempt, LOGGED) in written
            }
        documents = map_concurrently(
            lambda item: read_logged(self._store, run_id, *item),
            attempts.items(),
            limit=STORE_REQUESTS,
        )
        return {
            name: logged
            for document in documents
            if document is not None
            for name, logged in document.steps.items()
        }


def _keys(store: ArtifactStore, run_id: str) -> Mapping[str, StepKey]:
    try:
        keys = read_keys(store, run_id)
    except DamagedArtifactError:
        return {}
    return keys.steps if keys is not None else {}


def _from_runs(store: ArtifactStore, steps: Mapping[str, str]) -> dict[str, StepLogged]:
    """Return the logged values of steps in the runs that executed them.

    Args:
        store: Store of the runs.
        steps: Run of each step.
    """
    found: dict[str, StepLogged] = {}
    runs: dict[str, list[str]] = {}
    for step, run_id in steps.items():
        runs.setdefault(run_id, []).append(step)
    for _ in range(_MAX_RUNS):
        further: dict[str, list[str]] = {}
        for run_id, names in runs.items():
            try:
                logged, elsewhere = _from_run(store, run_id, names)
            except (
                ArtifactNotFoundError,
                DamagedArtifactError,
            ):  # the run was deleted, or is unreadable
                continue
            found.update(logged)
            for step, other in elsewhere.items():
                if other != run_id:
                    further.setdefault(other, []).append(step)
        if not (runs := further):
            break
    return found


def _from_run(
    store: ArtifactStore, run_id: str, steps: Iterable[str]
) -> tuple[dict[str, StepLogged], dict[str, str]]:
    """Return the logged values of steps of a run, and the run of each step that it reused."""
    plan = read_plan(store, run_id)
    jobs = {step: job.name for job in plan.jobs for step in job.steps}
    elsewhere = {step: plan.reused[step].run_id or run_id for step in steps if step in plan.reused}
    found: dict[str, StepLogged] = {}
    for job in {jobs[step] for step in steps if step in jobs}:
        result = read_result(store, run_id, job)
        if result is not None:
            attempts = [result.attempt]
            elsewhere |= {r.name: r.produced_in for r in result.steps if r.produced_in is not None}
        else:  # a step can be reused although its job has failed without a result
            names = store.children(RunLayout(run_id).attempts(job))
            attempts = sorted(int(name) for name in names if name.isdigit())
        for attempt in attempts:
            document = read_logged(store, run_id, job, attempt)
            found.update(document.steps if document is not None else {})
    wanted = set(steps)
    return (
        {step: logged for step, logged in found.items() if step in wanted},
        {step: other for step, other in elsewhere.items() if step in wanted},
    )
