"""A backend with scripted answers, for tests of decisions that depend on a backend."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.submission.backend import JobStatus, LogLine
from flowyml_aws.submission.bills import JobBills
from flowyml_aws.submission.record import Bill

__all__ = ["MovingBackend", "SampledBackend", "ScriptedBackend"]


@dataclass
class ScriptedBackend:
    """A backend that reports the scripted statuses and bills, and records its calls."""

    reported: dict[str, JobStatus] = field(default_factory=dict)
    submitted: list[tuple[list[str], set[str]]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    ending: Sequence[str] = ()
    ended: list[set[str]] = field(default_factory=list)
    logs_read: list[str] = field(default_factory=list)
    bill: dict[str, Bill] = field(default_factory=dict)
    awaited_bills: set[str] = field(default_factory=set)
    polls: int = 0

    def submit(self, jobs: Sequence[PlannedJob], succeeded: Collection[str]) -> None:
        self.submitted.append(([job.name for job in jobs], set(succeeded)))

    def statuses(self) -> Mapping[str, JobStatus]:
        self.polls += 1
        return dict(self.reported)

    def logs(self, job: str, cursor: str | None) -> tuple[list[LogLine], str | None]:
        self.logs_read.append(job)
        return [], None

    def cancel(self, jobs: Sequence[PlannedJob]) -> Sequence[str]:
        self.cancelled += [job.name for job in jobs]
        return self.ending

    def end_leftovers(self, finished: Collection[str]) -> Sequence[str]:
        self.ended.append(set(finished))
        return ()

    def bills(self) -> JobBills:
        return JobBills(dict(self.bill), frozenset(self.awaited_bills))

    def release(self) -> None: ...

    def pause(self) -> None: ...


@dataclass
class SampledBackend(ScriptedBackend):
    """A scripted backend that can show active jobs without a poll."""

    active: Collection[str] = ()

    def is_active(self, jobs: Sequence[PlannedJob]) -> bool:
        return any(job.name in self.active for job in jobs)


@dataclass
class MovingBackend(ScriptedBackend):
    """A scripted backend that records the plans and the jobs that it is given."""

    plans: list[ExecutionPlan] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)

    def move(self, plan: ExecutionPlan) -> None:
        self.plans.append(plan)

    def withdraw(self, job: str) -> None:
        self.withdrawn.append(job)
