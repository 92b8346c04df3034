"""A run: found again by its id, watched, waited for, cancelled, its outputs loaded."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.values import load_value
from flowyml_aws.core.errors import RunNotFoundError
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.result import Outputs, PipelineResult, make_result
from flowyml_aws.run_job import RunJob
from flowyml_aws.services.connect import find_run
from flowyml_aws.submission.backend import JobState, LogLine
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import RunStatus
from flowyml_aws.submission.why import Reason, explain_step

__all__ = ["Run", "refs_of"]

Watcher = Callable[[RunStatus], None]


class Run:
    """One execution of a plan, wherever it runs and whoever started it.

    Args:
        driver: Of the run.
        drives: Whether `logs` also starts what can start, as `wait` does.
        allow_pickle: Whether outputs may be read that can run code; None for the setting.
    """

    def __init__(
        self, driver: RunDriver, drives: bool = True, allow_pickle: bool | None = None
    ) -> None:
        self._driver = driver
        self._drives = drives
        self._allow_pickle = driver.allow_pickle if allow_pickle is None else allow_pickle
        self._assets: Path | None = None

    @classmethod
    def attach(cls, run_id: str, allow_pickle: bool | None = None) -> Run:
        """The run with this id, from the local store of this project or the S3 store set up.

        Args:
            run_id: Its id.
            allow_pickle: Whether outputs may be read that can run code; None for the setting.

        Raises:
            RunNotFoundError: Neither has it.
        """
        return cls(find_run(run_id), drives=False, allow_pickle=allow_pickle)

    @property
    def id(self) -> str:
        return self._driver.record.run_id

    @property
    def plan(self) -> ExecutionPlan:
        return self._driver.plan

    @property
    def jobs(self) -> Mapping[str, RunJob]:
        """Its jobs by name, in plan order."""
        return {job.name: RunJob(job, self._driver) for job in self.plan.jobs}

    def status(self) -> RunStatus:
        """How it is now; nothing is submitted."""
        return self._driver.status()

    def advance(self) -> RunStatus:
        """Submit what can start, and tell how it is."""
        return self._driver.advance()

    def wait(self, watch: Watcher | None = None) -> PipelineResult:
        """Drive the run to its end.

        Args:
            watch: Called with the status after every look.

        An interrupt (Ctrl-C) ends what cannot go on without this client; `attach` goes on.
        """
        self._drives = True
        try:
            while True:
                status = self._driver.advance()
                if watch is not None:
                    watch(status)
                if status.state is not RunState.RUNNING:
                    return self._result_of(status)
                self._driver.backend.pause()
        except BaseException:
            self._driver.backend.release()
            raise

    def result(self) -> PipelineResult:
        """What it has given so far."""
        return self._result_of(self.status())

    @property
    def outputs(self) -> Outputs:
        """Stored values by asset and by step name, each loaded on access."""
        return self._outputs_of(self.status())

    def refs(self, name: str) -> dict[str, ArtifactRef]:
        """Where the stored values of an asset or step lie, by asset.

        Raises:
            OutputNotFoundError: Nothing is stored under this name.
        """
        status = self.status()
        refs = refs_of(status)
        return {asset: refs[asset] for asset in self._outputs_of(status).assets(name)}

    def why(self, step: str) -> Reason:
        """Why a step ran, compared with the run of the pipeline before; or why it did not.

        Raises:
            RunNotFoundError: The run has no such step, or left nothing to compare.
        """
        return explain_step(self._driver.store, self.plan, self.status(), step)

    def cancel(self) -> None:
        """End it: running jobs are stopped, others do not start."""
        self._driver.cancel()

    def logs(self, job: str | None = None, follow: bool = False) -> Iterator[LogLine]:
        """What the jobs printed.

        Args:
            job: One of them, or all in plan order.
            follow: Go on until the jobs have ended. A run that was submitted here is driven
                meanwhile; one that was attached is only looked at.

        Raises:
            RunNotFoundError: The plan has no such job.
        """
        names = [planned.name for planned in self.plan.jobs]
        if job is not None and job not in names:
            raise RunNotFoundError(
                what=f"Run {self.id} has no job {job!r}",
                why=f"its jobs are {', '.join(names)}",
                fix=did_you_mean(job, names, "name one of them"),
            )
        wanted = [job] if job is not None else names
        return self._followed(wanted) if follow else self._printed(wanted)

    def _printed(self, jobs: Sequence[str]) -> Iterator[LogLine]:
        for name in jobs:
            lines, _ = self._driver.backend.logs(name, None)
            yield from lines

    def _followed(self, jobs: Sequence[str]) -> Iterator[LogLine]:
        backend = self._driver.backend
        look = self._driver.advance if self._drives else self._driver.status
        cursors: dict[str, str | None] = dict.fromkeys(jobs)
        try:
            while True:
                # Looked at before the log is read: what comes later belongs to the next round.
                views = {view.job.name: view for view in look().jobs}
                for name in list(cursors):
                    state = views[name].state
                    if state in (JobState.WAITING, JobState.QUEUED) and cursors[name] is None:
                        continue
                    lines, cursors[name] = backend.logs(name, cursors[name])
                    yield from lines
                    # Logs arrive late: the end is there when an ended job has no more to say.
                    if state.ended and not lines:
                        del cursors[name]
                if not cursors:
                    return
                backend.pause()
        except KeyboardInterrupt:
            backend.release()
            raise

    def _result_of(self, status: RunStatus) -> PipelineResult:
        refs = refs_of(status)
        uris = {
            step: refs[assets[0]].uri
            for step, assets in _produced(status).items()
            if assets[0] in refs
        }
        return make_result(status, self._outputs_of(status), uris, time.time())

    def _outputs_of(self, status: RunStatus) -> Outputs:
        refs = refs_of(status)
        names: dict[str, tuple[str, ...]] = {asset: (asset,) for asset in refs}
        for step, assets in _produced(status).items():
            if refs.keys() >= set(assets):
                names.setdefault(step, assets)
        return Outputs(names, lambda asset: self._load(asset, refs[asset]))

    def _load(self, asset: str, ref: ArtifactRef) -> Any:
        if self._assets is None:  # for values that are files: they outlive this object
            self._assets = Path(tempfile.mkdtemp(prefix=f"{self.id}-"))
        return load_value(
            self._driver.store,
            ref,
            asset,
            self._assets,
            allow_pickle=self._allow_pickle,
        )


def refs_of(status: RunStatus) -> dict[str, ArtifactRef]:
    """Where a run's stored values lie, by asset."""
    earlier = [step.assets for step in status.reused.values()]
    made = [view.result.assets for view in status.jobs if view.result is not None]
    return {asset: ref for assets in (*earlier, *made) for asset, ref in assets.items()}


def _produced(status: RunStatus) -> dict[str, tuple[str, ...]]:
    earlier = {name: step.produces for name, step in status.reused.items()}
    return earlier | {s: assets for view in status.jobs for s, assets in view.job.produces.items()}
