"""Runs: find one by its id, watch it, wait for it, cancel it, load its outputs."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowyml_aws.artifacts.errors import PickleRefusedError
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.transfer import load_values
from flowyml_aws.client.approvals import answer_approval
from flowyml_aws.client.mlflow_export import export_to_mlflow
from flowyml_aws.client.notebook import live_cell
from flowyml_aws.client.notices import notice_lines, store_report
from flowyml_aws.client.output_names import listed_assets, output_names
from flowyml_aws.client.result import Outputs, PipelineResult, make_result
from flowyml_aws.client.run_job import RunJob
from flowyml_aws.client.savings import Savings, find_savings
from flowyml_aws.client.stored import StoredList, StoredOutput
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.sheets import Sheet, ShownAsSheets
from flowyml_aws.core.termination import Terminated, end_after_cleanup
from flowyml_aws.planning.limits import Limits
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.services.connect import find_run
from flowyml_aws.submission.backend import JobState, LogLine
from flowyml_aws.submission.compare import (
    ComparedRun,
    Comparison,
    compare,
    facts_of,
    with_sub_facts,
)
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.job_names import find_jobs
from flowyml_aws.submission.logged import RunLogged
from flowyml_aws.submission.missing_output import (
    MissingOutput,
    OutputNotFoundError,
    missing_outputs,
    output_not_found,
    produced_assets,
)
from flowyml_aws.submission.origin import client_text
from flowyml_aws.submission.outages import AdvanceThroughOutages
from flowyml_aws.submission.own_runs import is_own_run
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.refs import RunRefs
from flowyml_aws.submission.status import RunStatus
from flowyml_aws.submission.status_sheets import status_sheets
from flowyml_aws.submission.why import Reason, explain_step

if TYPE_CHECKING:
    from flowyml_aws.report.data import RunReport

__all__ = ["Run", "StoredList", "StoredOutput", "Watcher"]

Watcher = Callable[[RunStatus], None]


class Run(ShownAsSheets):
    """One execution of a plan, on any service and started by any client.

    Args:
        driver: Driver of the run.
        drives: Whether following the logs also submits jobs that are ready, as `wait` does.
        allow_pickle: Whether outputs whose format can execute code may be loaded; None for the
            setting. Without both, only if this user started the run on this machine.
    """

    def __init__(
        self, driver: RunDriver, drives: bool = True, allow_pickle: bool | None = None
    ) -> None:
        self._driver = driver
        self._drives = drives
        if driver.plan.notify:  # with a link to the report, so that is stored first
            driver.on_end.insert(0, partial(store_report, driver))
        self._allow_pickle = driver.allow_pickle if allow_pickle is None else allow_pickle
        # For values that are files, which outlive this object. Loading the first one creates it.
        self._assets = Path(tempfile.gettempdir(), f"{driver.record.run_id}-{uuid.uuid4().hex}")

    @classmethod
    def attach(cls, run_id: str, allow_pickle: bool | None = None) -> Run:
        """Return the run with this name, from the project's local store or its S3 store.

        Args:
            run_id: Id of the run, its first characters if no other id has them, `latest` for the
                newest run, or `latest:PIPELINE`.
            allow_pickle: Whether outputs whose format can execute code may be loaded; None for
                the setting. Without both, only if this user started the run on this machine.

        Raises:
            RunNotFoundError: No store contains it, or several runs have this name.
        """
        return cls(find_run(run_id), drives=False, allow_pickle=allow_pickle)

    @property
    def id(self) -> str:
        """Id of the run, which finds it from any machine."""
        return self._driver.record.run_id

    @property
    def plan(self) -> ExecutionPlan:
        """Plan that the run executes."""
        return self._driver.plan

    @property
    def jobs(self) -> Mapping[str, RunJob]:
        """Jobs by name, in plan order."""
        return {job.name: RunJob(job, self._driver) for job in self.plan.jobs}

    def status(self) -> RunStatus:
        """Return the current status. Nothing is submitted."""
        return self._driver.status()

    def advance(self) -> RunStatus:
        """Submit the jobs that are ready, and return the status."""
        return self._driver.advance()

    def wait(self, watch: Watcher | None = None) -> PipelineResult:
        """Drive the run until it ends, and return its result.

        If the variable `MLFLOW_TRACKING_URI` is set, the logged values are exported to MLflow.

        An interrupt (Ctrl-C) and a signal that ends this process (SIGTERM, SIGHUP, SIGQUIT) stop
        the jobs that cannot continue without this client. `attach` continues the run.

        If AWS does not answer, the run is polled for 10 more minutes: its jobs continue.

        Jobs whose service bills each of them are awaited there for up to 5 minutes after their
        results, so that the outcome of the run has their bills.

        Args:
            watch: Called with the status after every poll. By default, a notebook shows the
                progress in the cell, and other programs show nothing.

        Raises:
            AwsUnavailableError: AWS did not answer for too long. `attach` continues the run.
            FlowymlError: A job was refused, or the states of the jobs are not available.
        """
        return self._wait(watch, lambda _: False)

    def wait_for_approval(self, watch: Watcher | None = None) -> PipelineResult:
        """Drive the run until it ends, or until only an approval can continue it.

        Return its result so far. The same as `wait` in everything else.

        Args:
            watch: Same as in `wait`.

        Raises:
            AwsUnavailableError: AWS did not answer for too long. `attach` continues the run.
            FlowymlError: A job was refused, or the states of the jobs are not available.
        """
        return self._wait(watch, lambda status: status.waits_for_approval)

    def _wait(
        self, watch: Watcher | None, is_enough: Callable[[RunStatus], bool]
    ) -> PipelineResult:
        self._drives = True
        watch = watch or live_cell(self.plan.notes)
        advance = AdvanceThroughOutages(self._driver)
        with end_after_cleanup():
            try:
                while True:
                    status = advance()
                    if watch is not None:
                        watch(status)
                    if status.outage is None and is_enough(status):
                        return self._result_of(status)
                    has_ended = status.outage is None and status.state is not RunState.RUNNING
                    if has_ended and not self._driver.awaits_bills:
                        export_to_mlflow(self._driver.store, status)
                        return self._result_of(status)
                    self._driver.backend.pause()
            except BaseException:
                self.leave()
                raise

    def leave(self) -> None:
        """Stop the jobs that cannot continue without this client. `attach` continues the run."""
        self._driver.release()

    def result(self) -> PipelineResult:
        """Return the result so far."""
        return self._result_of(self.status())

    def report(self, path: Path | str | None = None, compare: Run | str | None = None) -> Path:
        """Write the report of the run, one HTML page that needs no server. Return its path.

        Values whose decoding could run code are not loaded.

        Args:
            path: Target file; `<run id>.html` in the current folder by default.
            compare: Another run, or its id, that a section compares this run with.

        Raises:
            SettingsError: The file can't be written.
            RunNotFoundError: No store contains the other run.
        """
        from flowyml_aws.report.write import write_page

        return write_page(self.report_data(compare), Path(path or f"{self.id}.html"))

    def report_data(self, compare: Run | str | None = None) -> RunReport:
        """Return all figures of the run, and previews of its values.

        Args:
            compare: Another run, or its id, that this run is compared with: the first run of the
                comparison.

        Raises:
            RunNotFoundError: No store contains the other run.
        """
        from flowyml_aws.report.collect import collect
        from flowyml_aws.report.comparison import comparison_entry

        other = Run.attach(compare) if isinstance(compare, str) else compare
        report = collect(self._driver, time.time())
        if other is None:
            return report
        comparison = comparison_entry(other.compare(self))
        return report.model_copy(update={"comparison": comparison})

    @property
    def outputs(self) -> Outputs:
        """Stored values by asset and by step name, each loaded on access."""
        status = self.status()
        return _outputs_of(status, RunRefs(status, self._driver.reports), self._load)

    def refs(self, name: str) -> dict[str, ArtifactRef]:
        """Return the artifact refs of an asset or a step, by asset.

        Raises:
            OutputNotFoundError: Nothing is stored under this name.
        """
        status = self.status()
        refs = RunRefs(status, self._driver.reports)
        return {asset: refs[asset] for asset in _outputs_of(status, refs, self._load).assets(name)}

    def stored(self, last: int | None = None) -> list[StoredOutput]:
        """Return the stored outputs in plan order.

        Args:
            last: Maximum number, of which the last ones are returned; None for all.
        """
        status = self.status()
        refs = RunRefs(status, self._driver.reports)
        producers = {
            asset: step
            for step, assets in produced_assets(status).items()
            for asset in assets
            if asset in refs
        }
        names = list(producers)[-last if last else None :]
        return [
            StoredOutput(asset, producers[asset], ref) for asset, ref in refs.read(names).items()
        ]

    def listed(self, last: int | None = None) -> list[StoredOutput | StoredList]:
        """Return the stored outputs in plan order, with one entry for all items of a list.

        Args:
            last: Maximum number, of which the last ones are returned; None for all.
        """
        status = self.status()
        refs = RunRefs(status, self._driver.reports)
        listed = listed_assets(status, refs)[-last if last else None :]
        firsts = refs.read([each.stored[0] for each in listed])
        return [
            StoredOutput(each.asset, each.step, ref)
            if each.items is None
            else StoredList(
                each.asset,
                each.step,
                ref,
                len(each.stored),
                each.items,
                sum(map(refs.size_bytes, each.stored)),
            )
            for each, ref in zip(listed, firsts.values(), strict=True)
        ]

    def missing(self) -> list[MissingOutput]:
        """Return the outputs that are not stored, with the reason, in plan order."""
        status = self.status()
        return list(missing_outputs(status, RunRefs(status, self._driver.reports)).values())

    def savings(self) -> Savings | None:
        """Return what the run has saved by outputs of earlier runs; None if it reuses nothing."""
        return find_savings(self._driver.store, self.status())

    @property
    def logged(self) -> RunLogged:
        """Logged values so far by step: metrics as series, images, tables and strings."""
        return RunLogged(self._driver.store, self.status())

    def metrics(self) -> dict[str, dict[str, float]]:
        """Return the last value of each metric so far, by step and by name."""
        return self.logged.metrics

    def why(self, step: str) -> Reason:
        """Explain why a step was executed or reused, compared with the pipeline's previous run.

        Raises:
            RunNotFoundError: The run has no such step, or did not record its cache keys.
        """
        return explain_step(self._driver.store, self.plan, self.status(), step)

    def compare(self, other: Run | str) -> Comparison:
        """Compare this run with another one: parameters, code, packages, inputs, metrics, times.

        Args:
            other: The other run, or its id.

        Raises:
            RunNotFoundError: No store contains the other run.
        """
        another = Run.attach(other) if isinstance(other, str) else other
        return compare(self._facts(), another._facts())

    def notice_lines(self) -> list[str]:
        """Return lines on the notices of the run, which has ended; empty without recipients."""
        return notice_lines(self._driver)

    def _sheets(self) -> list[Sheet]:
        try:
            return status_sheets(self.status(), time.time())
        except FlowymlError as error:  # an object can always be shown
            return [Sheet(self.id, lines=("The status is not available",), code=(str(error),))]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    def _facts(self) -> ComparedRun:
        status = self.status()
        facts = facts_of(self._driver.store, status, self._driver.reports)
        started = (each.step for each in status.expansions if each.status is not None)
        drivers = {step: self._driver.sub_run(step) for step in started}
        return with_sub_facts(
            facts, {step: Run(each)._facts() for step, each in drivers.items() if each is not None}
        )

    def cancel(self) -> Sequence[str]:
        """Cancel the run: stop its running jobs, and start no others.

        Return the names of the jobs that are still ending, at their services; empty if none is
        left.

        Raises:
            AwsRefusedError: Some jobs could not be stopped; the error lists them.
        """
        return self._driver.cancel(client_text())

    def approve(self, name: str | None = None, comment: str | None = None) -> RunStatus:
        """Approve an approval that waits, and return the status of the run.

        On AWS, the jobs after it are submitted, and the driver of a detached run continues. On
        this machine, a client has to wait for the run.

        Args:
            name: Name of the approval; None if only one waits.
            comment: Comment for readers of the run.

        Raises:
            ApprovalError: The run has no such approval, or it does not wait for an answer.
        """
        return answer_approval(self._driver, name, "approved", comment, client_text())

    def reject(self, name: str | None = None, comment: str | None = None) -> RunStatus:
        """Reject an approval that waits, and return the status of the run.

        The jobs after it do not run, and the run fails. Other jobs continue.

        Args:
            name: Same as in `approve`.
            comment: Same as in `approve`.

        Raises:
            ApprovalError: The run has no such approval, or it does not wait for an answer.
        """
        return answer_approval(self._driver, name, "rejected", comment, client_text())

    def resume(
        self,
        resources: Mapping[str, Any] | None = None,
        *,
        max_price_usd_hour: float | None = None,
        max_cost_usd: float | None = None,
        detach: bool = False,
    ) -> Run:
        """Start a new run that continues this failed or cancelled run.

        Jobs that succeeded are not executed again, nor are completed steps of other jobs whose
        values are stored. Code and inputs are those of this run.

        Args:
            resources: New resources for the job of a step, by step: a `ResourceRequirements` or a
                dict. What they do not contain remains.
            max_price_usd_hour: Same as in `RunOptions`.
            max_cost_usd: Maximum cost of the new run.
            detach: Whether the new run continues without this process.

        Raises:
            RunNotResumableError: This run is still running, or has succeeded.
            InvalidPipelineError: With every mistake found; nothing was submitted.
        """
        from flowyml_aws.client.resume import resume

        limits = Limits(max_price_usd_hour, max_cost_usd)
        return Run(resume(self.id, resources, limits, detach), allow_pickle=self._allow_pickle)

    def containing(self, name: str) -> tuple[Run, str]:
        """Return the run that contains a job or step, and its name there.

        Args:
            name: Name of a job or a step. `search/train` is `train` in the pipeline that the
                dynamic step `search` has returned, which is a run of its own.

        Raises:
            RunNotFoundError: The dynamic step has not returned a pipeline.
        """
        driver, inner = self._driver.containing(name)
        run = self if driver is self._driver else Run(driver, self._drives, self._allow_pickle)
        return run, inner

    def logs(self, job: str | None = None, follow: bool = False) -> Iterator[LogLine]:
        """Yield the log lines of the jobs.

        Args:
            job: Name of a job, or of a step, an item (`train[3]`) or a mapped step, whose jobs are
                selected; None for all jobs in plan order. `search/train` is `train` in the pipeline
                of the dynamic step `search`.
            follow: Whether to continue until the jobs have ended. Meanwhile, a run that was
                submitted by this object is driven, and a run that was attached is only polled. The
                jobs of pipelines of dynamic steps are followed only by name.

        Raises:
            RunNotFoundError: The plan has no such job.
        """
        if job is not None:
            run, job = self.containing(job)
            if run is not self:
                return run.logs(job, follow)
        found = self.plan.jobs if job is None else find_jobs(self.plan, job, self.id)
        selected = [planned.name for planned in found]
        if follow:
            return self._follow_logs(selected)
        return self._all_logs() if job is None else self._read_logs(selected)

    def _all_logs(self) -> Iterator[LogLine]:
        """Yield the logs of all jobs, with those of a returned pipeline after its dynamic step."""
        for job in self.plan.jobs:
            yield from self._read_logs([job.name])
            for step in (step for step in job.steps if step in self.plan.dynamic):
                if (driver := self._driver.sub_run(step)) is not None:
                    for line in Run(driver, self._drives, self._allow_pickle).logs():
                        yield replace(line, job=f"{step}/{line.job}")

    def _read_logs(self, jobs: Sequence[str]) -> Iterator[LogLine]:
        for name in jobs:
            lines, _ = self._driver.backend.logs(name, None)
            yield from lines

    def _follow_logs(self, jobs: Sequence[str]) -> Iterator[LogLine]:
        backend = self._driver.backend
        poll = self._driver.advance if self._drives else self._driver.status
        cursors: dict[str, str | None] = dict.fromkeys(jobs)
        try:
            while True:
                # Poll before reading the logs: lines that come later belong to the next round.
                views = {view.job.name: view for view in poll().jobs}
                for name in list(cursors):
                    state = views[name].state
                    if state in (JobState.WAITING, JobState.QUEUED) and cursors[name] is None:
                        continue
                    lines, cursors[name] = backend.logs(name, cursors[name])
                    yield from lines
                    # Logs arrive late: a log is complete if its job has ended and no line is new.
                    if state.ended and not lines:
                        del cursors[name]
                if not cursors:
                    return
                backend.pause()
        except (KeyboardInterrupt, Terminated):
            self.leave()
            raise

    def _result_of(self, status: RunStatus) -> PipelineResult:
        refs = RunRefs(status, self._driver.reports)
        first = {
            step: assets[0]
            for step, assets in produced_assets(status).items()
            if assets and assets[0] in refs
        }
        outputs = _outputs_of(status, refs, self._load)
        logged = RunLogged(self._driver.store, status)
        return make_result(status, outputs, refs, logged, first, time.time(), self.report)

    def _load(
        self, refs: Mapping[str, ArtifactRef], contents: Mapping[str, bytes]
    ) -> Mapping[str, Any]:
        store = self._driver.store
        allow_pickle = self._allow_pickle
        if allow_pickle is None:
            allow_pickle = is_own_run(store.uri, self.id)
        try:
            return load_values(
                store, refs, self._assets, allow_pickle=allow_pickle, contents=contents
            )
        except PickleRefusedError as error:
            if self._allow_pickle is not None:
                raise
            codecs = " or ".join(sorted({ref.codec for ref in refs.values()}))
            raise PickleRefusedError(
                what=error.what,
                why=f"it is stored as {codecs}, which can execute code when it is loaded, and "
                f"this user did not start {self.id} on this machine",
                fix="pass allow_pickle=True (`get --allow-pickle`), or set allow_pickle = true, if "
                f"you trust everyone who can write to {store.uri}",
            ) from error


def _outputs_of(
    status: RunStatus,
    refs: RunRefs,
    load: Callable[[Mapping[str, ArtifactRef], Mapping[str, bytes]], Mapping[str, Any]],
) -> Outputs:
    def explain(name: str) -> OutputNotFoundError:
        return output_not_found(name, status, refs)

    def load_assets(assets: Sequence[str]) -> Mapping[str, Any]:
        return load(refs.read(assets), refs.contents(assets))

    return Outputs(output_names(status, refs), load_assets, explain)
