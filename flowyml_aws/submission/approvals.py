"""Approvals of a run: their states, and the document with an answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from shlex import quote
from typing import Literal

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.planning.plan import PlannedApproval
from flowyml_aws.planning.wording import time_text

__all__ = ["Answer", "ApprovalState", "ApprovalView", "approval_notes", "waited_s"]


class ApprovalState(str, Enum):
    """State of an approval."""

    NOT_REACHED = "not reached"
    """The jobs before it have not all succeeded."""
    WAITING = "waiting"
    """Someone has to answer."""
    APPROVED = "approved"
    REJECTED = "rejected"
    TIMED_OUT = "timed out"
    NOT_NEEDED = "not needed"
    """The jobs after it have ended without it: they were skipped, or did not run."""


class Answer(Document):
    """The answer to an approval. It is created once and never replaced.

    Attributes:
        approval: Name of the approval.
        answered_at: Seconds since the epoch, by the clock of the client.
        by: User and machine of the client.
        comment: Comment of the person who answered, or None.
    """

    version: Literal[1] = 1
    approval: str
    answer: Literal["approved", "rejected", "timed out"]
    answered_at: float
    by: str | None = None
    comment: str | None = None

    def __str__(self) -> str:
        if self.answer == "timed out":
            return "timed out: no one answered"
        by = "" if self.by is None else f" by {self.by}"
        return f"{self.answer}{by}" + (f": {self.comment}" if self.comment else "")


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """An approval of a run at one moment.

    Attributes:
        jobs: Jobs that do not start before it is given.
        waits_s: Seconds since someone was asked; None if no one is asked now.
        answer: The answer, if there is one.
        run_id: Sub-run that asks; None if it is the run that is shown.
    """

    name: str
    planned: PlannedApproval
    state: ApprovalState
    jobs: tuple[str, ...]
    waits_s: float | None = None
    answer: Answer | None = None
    run_id: str | None = None

    @property
    def refusal(self) -> str | None:
        """Reason why the jobs after it do not run, if it was not given."""
        if self.answer is None or self.state is ApprovalState.APPROVED:
            return None
        if self.state is ApprovalState.TIMED_OUT:
            waited = time_text(self.planned.timeout_s)
            return f"approval {self.name!r} timed out: no one answered within {waited}"
        return f"approval {self.name!r} was {self.answer}"

    def settled(self, ended: Collection[str]) -> ApprovalView:
        """Return the approval as it is after some jobs have ended: not needed without any other.

        Args:
            ended: Names of the jobs that have ended.
        """
        if self.answer is not None or not all(job in ended for job in self.jobs):
            return self
        return replace(self, state=ApprovalState.NOT_NEEDED, waits_s=None)

    def note(self, run_id: str) -> str | None:
        """Return its answer, or the command that gives one; None before someone is asked.

        Args:
            run_id: Id of the run.
        """
        if self.waits_s is None:
            return None if self.answer is None else str(self.answer)
        by = "" if self.planned.approver is None else f" by {self.planned.approver}"
        return f"waiting for an answer{by}, {time_text(self.left_s)} left: `{self.command(run_id)}`"

    @property
    def left_s(self) -> float:
        """Seconds that are left for an answer, at least 0."""
        return max(0.0, self.planned.timeout_s - (self.waits_s or 0.0))

    def command(self, run_id: str) -> str:
        """Return the command that approves it.

        Args:
            run_id: Id of the run.
        """
        return f"flowyml-aws approve {self.run_id or run_id} {quote(self.name)}"


def waited_s(approvals: Iterable[ApprovalView], jobs: Sequence[tuple[float, float]]) -> float:
    """Return the seconds in which a run only waited for answers, so that its driver did not run.

    Args:
        approvals: Approvals of the run.
        jobs: Start and end of each job, in seconds since the epoch.
    """
    total = 0.0
    since = 0.0
    for at in sorted(view.answer.answered_at for view in approvals if view.answer is not None):
        ends = [end for _, end in jobs if end <= at]
        if ends and not any(start <= at < end for start, end in jobs):
            total += at - max([*ends, since])
        since = at
    return total


def approval_notes(approvals: Iterable[ApprovalView], run_id: str) -> list[str]:
    """Return a line on each approval that waits or is answered.

    Args:
        approvals: Approvals of the run.
        run_id: Id of the run.
    """
    notes = ((view.name, view.note(run_id)) for view in approvals)
    return [f"approval {name}: {note}" for name, note in notes if note is not None]
