"""Observations of the parts of a proof, and the rows that checks of them make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flowyml_aws.doctor.prove.facts import MachineFacts
from flowyml_aws.doctor.prove.meeting import Meeting
from flowyml_aws.doctor.prove.parts import Part
from flowyml_aws.doctor.prove.report import Row, Verdict
from flowyml_aws.planning.plan import ExecutionPlan, InstanceOffer, PlannedJob
from flowyml_aws.submission.record import Bill
from flowyml_aws.submission.status import JobView

__all__ = ["Answer", "PartObservation", "Rows", "StageObservation", "no_facts"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the account; `value` is None if there is none, for a reason."""

    value: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StageObservation:
    """A run that has ended.

    Attributes:
        view: Its only job; of an array, the first one that failed, or the first one.
        facts: Facts that the job saw, or None.
        log: Lines of its log.
        bill: Bill of the job, if the service reports one.
        children: Index and job id that each child of an array saw.
        meeting: Nodes that the main node of a job of several nodes has met, or None.
        scheduled: Time of the schedule that its job saw, or None.
        data: Content that its step has read below a prefix of S3, or None.
    """

    plan: ExecutionPlan
    view: JobView
    facts: MachineFacts | None = None
    log: tuple[str, ...] = ()
    bill: Bill | None = None
    children: tuple[Mapping[str, str], ...] = ()
    meeting: Meeting | None = None
    scheduled: str | None = None
    data: str | None = None


@dataclass(frozen=True, slots=True)
class PartObservation:
    """A part of the proof, after its runs.

    Attributes:
        stages: Runs that have ended, in order.
        problem: Reason why a run is missing, or empty.
        price: Price per hour of the type that ran, according to the account's price list.
        disk_gib: Disk that the plan promises; None if it promises none.
        shared_memory_mib: Size of /dev/shm that the job definition has; None on SageMaker.
        alert: 1 if the alert of the failed job arrived, 0 if it did not within the deadline.
        due: Time of the schedule that was created, as EventBridge Scheduler writes it, or None.
        served: Times that this schedule has served.
        shell: 1 if a session was opened in the running job.
    """

    part: Part
    stages: tuple[StageObservation, ...] = ()
    problem: str = ""
    price: Answer = Answer()
    disk_gib: float | None = None
    shared_memory_mib: int | None = None
    alert: Answer = Answer()
    due: str | None = None
    served: tuple[str, ...] = ()
    shell: Answer = Answer()

    @property
    def job(self) -> PlannedJob:
        return self.stages[0].view.job

    @property
    def ran_on(self) -> InstanceOffer | None:
        """The type that the first job ran on, with the plan's price, if the job reported it."""
        return self.stages[0].view.ran_on

    @property
    def facts(self) -> MachineFacts | None:
        return self.stages[0].facts


@dataclass(frozen=True, slots=True)
class Rows:
    """Makes the row of one check."""

    part: str
    check: str

    def __call__(self, verdict: Verdict, expected: str, observed: str, reason: str = "") -> Row:
        return Row(
            part=self.part,
            check=self.check,
            verdict=verdict,
            expected=expected,
            observed=observed,
            reason=reason,
        )

    def compare(self, agrees: bool, expected: str, observed: str, reason: str) -> Row:
        """Return a row with a reason if the two differ."""
        if agrees:
            return self("agreed", expected, observed)
        return self("deviated", expected, observed, reason)

    def unchecked(self, expected: str, reason: str) -> Row:
        return self("not checked", expected, "", reason)


def no_facts(observed: PartObservation) -> str:
    """Return the reason why the job of the first run has reported nothing."""
    return f"the job has not reported it ({observed.stages[0].view.state.value})"
