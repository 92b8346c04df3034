"""The pipelines of a run's dynamic steps: each is a run of its own, which the same driver drives.

A job has planned the pipeline and has written everything that its run needs (`expansion.py`). The
driver decides whether it starts, writes the documents of the run, drives it, and writes the outputs
of the dynamic step once it has succeeded. Each of these documents is created once, so that a driver
continues wherever another one has stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError, RunNotFoundError
from flowyml_aws.planning.alternatives import allowed_moves
from flowyml_aws.planning.cost_shares import with_shares
from flowyml_aws.planning.expansions import refusal
from flowyml_aws.planning.limits import Limits
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.runtime.result import ExpandedOutputs, read_outputs
from flowyml_aws.runtime.summary import JobSummary
from flowyml_aws.submission.expansion import (
    Expansion,
    ExpansionDecision,
    outputs_of,
    read_expansion,
    read_facts,
)
from flowyml_aws.submission.own_runs import is_own_run, remember_run
from flowyml_aws.submission.package import write_sub_run
from flowyml_aws.submission.record import (
    RunRecord,
    RunState,
    read_plan,
    read_record,
    read_spec,
    sub_run_id,
)
from flowyml_aws.submission.refs import RunRefs
from flowyml_aws.submission.reports import JobReports
from flowyml_aws.submission.status import ExpansionView, RunStatus

__all__ = ["Expansions", "ReturnedPipeline", "SubRunDriver"]


class SubRunDriver(Protocol):
    """Driver of the run of a pipeline."""

    awaits_bills: bool
    record: RunRecord

    @property
    def plan(self) -> ExecutionPlan: ...

    @property
    def reports(self) -> JobReports: ...

    def advance(self) -> RunStatus: ...

    def status(self) -> RunStatus: ...

    def cancel(self) -> Sequence[str]: ...

    def release(self) -> None: ...


Driver = TypeVar("Driver", bound=SubRunDriver)


@dataclass(frozen=True, slots=True)
class ReturnedPipeline:
    """A pipeline that the dynamic step of a job has returned.

    Attributes:
        job: The job.
        summary: Summary of its result.
        step: The dynamic step.
        sha256: Digest of the document with the pipeline.
    """

    job: PlannedJob
    summary: JobSummary
    step: str
    sha256: str

    @classmethod
    def of(cls, job: PlannedJob, summary: JobSummary) -> ReturnedPipeline | None:
        """Return the pipeline that a job has returned, or None."""
        for report in summary.steps:
            if report.expansion is not None:
                return cls(job, summary, report.name, report.expansion)
        return None


@dataclass
class Expansions(Generic[Driver]):
    """The pipelines of one run, as one client sees them.

    Attributes:
        drive: Returns the driver of a pipeline's run.
        drivers: Drivers of the runs, by dynamic step.
    """

    store: ArtifactStore
    record: RunRecord
    drive: Callable[[RunRecord, ExecutionPlan], Driver]
    views: dict[str, ExpansionView] = field(default_factory=dict)
    drivers: dict[str, Driver] = field(default_factory=dict)
    _expansions: dict[str, Expansion] = field(default_factory=dict)
    _decisions: dict[str, ExpansionDecision] = field(default_factory=dict)

    def outputs(self, returned: ReturnedPipeline) -> ExpandedOutputs | None:
        """Return the outputs of a dynamic step, or None until its pipeline has succeeded."""
        repetition = returned.job.repetition
        return read_outputs(self.store, self.record.run_id, returned.step, repetition)

    def look(self, returned: ReturnedPipeline) -> ExpansionView | None:
        """Return the run of a pipeline without changing anything; None before it is started."""
        return self._viewed(returned, lambda driver: driver.status())

    def is_started(self, returned: ReturnedPipeline) -> bool:
        """Return whether a pipeline was refused, or is a run."""
        decision = self._read_decision(returned)
        return decision is not None and (
            decision.refusal is not None or self._driver(returned.step, decision) is not None
        )

    def start(
        self, returned: ReturnedPipeline, limit_usd: float | None, spent_usd: float, now: float
    ) -> None:
        """Decide on a pipeline, unless a client has decided, and write its run if it may start.

        Args:
            returned: The pipeline.
            limit_usd: Cost limit of the run that contains it; None without one.
            spent_usd: Counted cost of that run so far, with all its pipelines.
            now: Seconds since the epoch.
        """
        key = RunLayout(self.record.run_id).expansion(returned.step, returned.job.repetition)
        decision = self._read_decision(returned)
        if decision is None:
            decision = self._decision(returned, limit_usd, spent_usd, now)
            if not self.store.create(key, decision.to_json()):
                decision = self._read_decision(returned) or decision
        if decision.refusal is None:
            self._write(returned, decision)

    def advance(self, returned: ReturnedPipeline) -> ExpansionView | None:
        """Drive the run of a pipeline. Return None before it is started.

        If the run has succeeded, the outputs of the dynamic step are written.
        """
        view = self._viewed(returned, lambda driver: driver.advance())
        status = None if view is None else view.status
        if status is not None and status.state is RunState.SUCCEEDED:
            self._finish(returned, status)
        return view

    def finish(self) -> bool:
        """Drive the runs that have ended until their bills are known. Return whether some wait."""
        waiting = {
            step: driver
            for step, driver in self.drivers.items()
            if driver.awaits_bills and self.views[step].has_ended
        }
        for step, driver in waiting.items():
            self.views[step] = replace(self.views[step], status=driver.advance())
        return any(driver.awaits_bills for driver in waiting.values())

    def release(self) -> None:
        """Stop the jobs of all pipelines that cannot continue without this client."""
        with ExitStack() as stack:  # all of them, also after an error
            for driver in self.drivers.values():
                stack.callback(driver.release)

    def cancel(self, returned: Collection[ReturnedPipeline]) -> list[str]:
        """Cancel the runs of pipelines. Return the jobs that are still ending: `STEP/JOB`."""
        ending: list[str] = []
        for each in returned:
            decision = self._read_decision(each)
            driver = None if decision is None else self._driver(each.step, decision)
            if driver is not None:
                ending += (f"{each.step}/{job}" for job in driver.cancel())
        return ending

    def _decision(
        self, returned: ReturnedPipeline, limit_usd: float | None, spent_usd: float, now: float
    ) -> ExpansionDecision:
        record, job = self.record, returned.job
        try:
            expansion = self._read(returned)
            plan = expansion.plan.plan
            run_id = sub_run_id(record.run_id, plan.pipeline, returned.step, job.repetition)
            if {run_id} != {expansion.run_id, *(spec.run_id for spec in expansion.specs)}:
                raise DamagedArtifactError(
                    what=f"The pipeline of {returned.step!r} is not planned for this run",
                    why=f"it names run {expansion.run_id}, expected {run_id}",
                    fix="run the pipeline again",
                )
            facts = read_facts(self.store, read_spec(self.store, record, job.name))
        except DamagedArtifactError as error:
            refused = f"{error.what}: {error.why}"
            return ExpansionDecision(run_id=record.run_id, decided_at=now, refusal=refused)
        return ExpansionDecision(
            run_id=run_id,
            decided_at=now,
            refusal=refusal(record.run_id, plan, facts, limit_usd, spent_usd),
            max_cost_usd=None if limit_usd is None else max(0.0, limit_usd - spent_usd),
        )

    def _read_decision(self, returned: ReturnedPipeline) -> ExpansionDecision | None:
        layout = RunLayout(self.record.run_id)
        key = layout.expansion(returned.step, returned.job.repetition)
        if key not in self._decisions:  # a decision is never replaced
            try:
                data = self.store.get(key)
            except ArtifactNotFoundError:
                return None
            self._decisions[key] = read_document(ExpansionDecision, data, f"{self.store.uri}/{key}")
        return self._decisions[key]

    def _read(self, returned: ReturnedPipeline) -> Expansion:
        if returned.sha256 not in self._expansions:
            job, attempt = returned.job.name, returned.summary.attempt
            self._expansions[returned.sha256] = read_expansion(
                self.store, self.record.run_id, job, attempt, returned.sha256
            )
        return self._expansions[returned.sha256]

    def _viewed(
        self, returned: ReturnedPipeline, poll: Callable[[Driver], RunStatus]
    ) -> ExpansionView | None:
        decision = self._read_decision(returned)
        if decision is None:
            return None
        view = ExpansionView(returned.step, decision.run_id, decision.refusal)
        if decision.refusal is None:
            driver = self._driver(returned.step, decision)
            if driver is None:
                return None
            view = replace(view, status=poll(driver))
        self.views[returned.step] = view
        return view

    def _driver(self, step: str, decision: ExpansionDecision) -> Driver | None:
        """Return the driver of the run of a pipeline; None if the run is not written yet."""
        driver = self.drivers.get(step)
        if driver is None or driver.record.run_id != decision.run_id:
            try:
                record = read_record(self.store, decision.run_id)
            except RunNotFoundError:
                return None
            driver = self.drive(record, read_plan(self.store, decision.run_id))
            self.drivers[step] = driver
        return driver

    def _write(self, returned: ReturnedPipeline, decision: ExpansionDecision) -> None:
        """Write the documents of the run of a pipeline. Every driver writes the same ones."""
        expansion = self._read(returned)
        plan = allowed_moves(expansion.plan.plan, Limits(None, decision.max_cost_usd))
        step, at = returned.step, decision.decided_at
        if is_own_run(self.store.uri, self.record.run_id):
            remember_run(self.store.uri, expansion.run_id)
        write_sub_run(self.store, expansion, with_shares(plan), self.record, step, at)

    def _finish(self, returned: ReturnedPipeline, status: RunStatus) -> None:
        """Write the outputs of a dynamic step whose pipeline has succeeded."""
        driver = self.drivers[returned.step]
        refs = RunRefs(status, driver.reports)
        skipped: dict[str, str] = {}
        for view in status.jobs:
            skipped.update({} if view.result is None else view.result.skipped)
        outputs = outputs_of(self._read(returned), driver.plan, refs, skipped)
        key = RunLayout(self.record.run_id).expanded(returned.step, returned.job.repetition)
        self.store.create(key, outputs.to_json())
