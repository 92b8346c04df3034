"""Answers to the approvals of a run, in its store.

Nothing is stored before the answer: that someone is asked follows from the results of the jobs
before it. The first answer counts. An approval that no one answers in time is answered by the first
client that notices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.branches import THEN
from flowyml_aws.core.clock import uptime_s
from flowyml_aws.core.errors import ArtifactNotFoundError
from flowyml_aws.planning.approvals import jobs_after
from flowyml_aws.planning.plan import ExecutionPlan, PlannedApproval, PlannedJob
from flowyml_aws.runtime.result import cases_of
from flowyml_aws.submission.approvals import Answer, ApprovalState, ApprovalView
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.status import JobView

__all__ = ["Approvals"]


@dataclass
class Approvals:
    """The approvals of one run, as one client sees them.

    Attributes:
        uptime: Seconds from any start, also those in which this machine was suspended.
    """

    store: ArtifactStore
    run_id: str
    uptime: Callable[[], float] = uptime_s
    _answers: dict[str, Answer] = field(default_factory=dict)
    _asked_at: dict[str, float] = field(default_factory=dict)

    def read(
        self, plan: ExecutionPlan, ended: Mapping[str, JobView], now: float | None
    ) -> dict[str, ApprovalView]:
        """Read the answers, record those that are overdue, and return all approvals by name.

        Args:
            plan: Plan of the run.
            ended: Jobs that have ended.
            now: Seconds since the epoch; None if no one is asked any more.

        Raises:
            DamagedArtifactError: An answer is damaged.
        """
        views: dict[str, ApprovalView] = {}
        for name, planned in plan.approvals.items():  # in the order in which they are asked
            jobs = jobs_after(plan, name)
            view = ApprovalView(
                name, planned, ApprovalState.NOT_REACHED, tuple(job.name for job in jobs)
            )
            if now is None or all(job.name in ended for job in jobs):
                view = self._answered(view, plan, ended).settled(ended)
            elif _is_reached(planned, ended, views) and _is_needed(name, jobs, ended):
                view = self._asked(view, plan, ended, now)
            views[name] = view
        return views

    def answer(self, answer: Answer) -> Answer | None:
        """Create the answer to an approval. Return None, or the earlier answer that counts."""
        if self.store.create(self._key(answer.approval), answer.to_json()):
            self._answers[answer.approval] = answer
            return None
        return self._read(answer.approval)

    def _asked(
        self, view: ApprovalView, plan: ExecutionPlan, ended: Mapping[str, JobView], now: float
    ) -> ApprovalView:
        answered = self._answered(view, plan, ended)
        if answered.answer is not None:
            return answered
        if view.name not in self._asked_at:
            age_s = self.store.age_s(self._last_key(view.planned, plan, ended))
            self._asked_at[view.name] = self.uptime() - age_s
        waits_s = max(0.0, self.uptime() - self._asked_at[view.name])
        if waits_s < view.planned.timeout_s:
            return replace(view, state=ApprovalState.WAITING, waits_s=waits_s)
        overdue = Answer(approval=view.name, answer="timed out", answered_at=now)
        self.answer(overdue)
        return self._answered(view, plan, ended)

    def _answered(
        self, view: ApprovalView, plan: ExecutionPlan, ended: Mapping[str, JobView]
    ) -> ApprovalView:
        """Return an approval with its answer, if there is one or its condition holds."""
        answer = self._read(view.name)
        if answer is None:
            answer = _automatic_answer(view, plan, ended)
        if answer is None:
            return view
        return replace(view, state=ApprovalState(answer.answer), answer=answer)

    def _read(self, name: str) -> Answer | None:
        if name not in self._answers:
            key = self._key(name)
            try:
                found = read_document(Answer, self.store.get(key), f"{self.store.uri}/{key}")
            except ArtifactNotFoundError:
                return None
            self._answers[name] = found
        return self._answers[name]

    def _last_key(
        self, planned: PlannedApproval, plan: ExecutionPlan, ended: Mapping[str, JobView]
    ) -> str:
        """Return the key of the object whose creation has reached an approval."""
        layout = RunLayout(self.run_id)
        repetitions = {job.name: job.repetition for job in plan.jobs}
        times = {layout.run: 0.0}
        for job in planned.after:
            if (result := ended[job].result) is not None:
                times[layout.result(job, repetitions[job])] = result.ended_at
        for name in planned.approvals:
            if name in self._answers:  # not if its condition held
                times[self._key(name)] = self._answers[name].answered_at
        return max(times, key=times.__getitem__)

    def _key(self, name: str) -> str:
        return RunLayout(self.run_id).approval(name)


def _automatic_answer(
    view: ApprovalView, plan: ExecutionPlan, ended: Mapping[str, JobView]
) -> Answer | None:
    """Return the answer of the condition of an approval; None if it did not hold."""
    decision = view.planned.decision
    for job in plan.jobs:
        result = ended[job.name].result if decision in job.steps and job.name in ended else None
        if decision is not None and result is not None:
            if cases_of(result.steps).get(decision) != THEN:
                return None
            at, by = result.ended_at, "auto_approve_if"
            return Answer(approval=view.name, answer="approved", answered_at=at, by=by)
    return None


def _is_reached(
    planned: PlannedApproval, ended: Mapping[str, JobView], views: Mapping[str, ApprovalView]
) -> bool:
    """Return whether everything that an approval waits for exists."""
    return all(
        job in ended and ended[job].state is JobState.SUCCEEDED for job in planned.after
    ) and all(views[name].state is ApprovalState.APPROVED for name in planned.approvals)


def _is_needed(name: str, jobs: Sequence[PlannedJob], ended: Mapping[str, JobView]) -> bool:
    """Return whether a job can need an approval: none before it is still to be decided on.

    A job in a branch needs it only once the decision is made, which may skip the job.
    """
    direct = [job for job in jobs if name in job.approvals and job.name not in ended]
    if not direct:  # another approval waits for it
        return True
    return any(not job.held or all(parent in ended for parent in job.after) for job in direct)
