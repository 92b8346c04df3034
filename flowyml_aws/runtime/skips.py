"""Steps that are skipped, as far as this is known without calling their conditions.

The runner decides it for each step. The driver decides it for a whole job whose decisions other
jobs have made, so that no machine is started for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from flowyml_aws.runtime.spec import StepSpec

__all__ = ["Skip", "skip_of", "skips_of_job"]

_CONDITION = "its condition is false"
_ABSENT = " does not exist: "


@dataclass(frozen=True, slots=True)
class Skip:
    """The skip of a step.

    Attributes:
        reason: Reason for the report of the step.
        cause: First cause, for the assets that do not exist because of it.
    """

    reason: str
    cause: str

    @classmethod
    def by_condition(cls, step: str) -> Skip:
        """Return the skip of a step whose condition is false."""
        return cls(_CONDITION, f"the condition of step {step!r} is false")

    @classmethod
    def by_absence(cls, asset: str, cause: str) -> Skip:
        """Return the skip of a step that needs an asset that does not exist."""
        return cls(f"{asset!r}{_ABSENT}{cause}", cause)

    @classmethod
    def reported(cls, step: str, reason: str | None) -> Skip:
        """Return the skip of a step whose report has this reason."""
        if reason is None or reason == _CONDITION:
            return cls.by_condition(step)
        return cls(reason, reason.partition(_ABSENT)[2] or reason)


def skip_of(
    step: StepSpec,
    cause_of_absence: Callable[[str], str | None],
    case_of: Callable[[str], str | None],
) -> Skip | None:
    """Return why a step is skipped before its condition is called; None if it is not.

    Args:
        step: The step.
        cause_of_absence: Returns why an asset does not exist; None if it exists.
        case_of: Returns the case that a decision has chosen.
    """
    needed = [] if step.condition is None else [*step.condition.needed]
    needed += step.arguments.needed
    if step.branch is not None:
        needed.append(step.branch.decision)
    for asset in needed:
        if (cause := cause_of_absence(asset)) is not None:
            return Skip.by_absence(asset, cause)
    calls = [step.arguments] if step.condition is None else [step.condition, step.arguments]
    for call in calls:
        for asset, of_branches in call.needed_of_branches.items():
            causes = [cause_of_absence(each) for each in of_branches]
            if None not in causes:
                return Skip.by_absence(asset, causes[0] or "")
    if step.branch is not None:
        cause = step.branch.cause_of_skip(case_of(step.branch.decision))
        if cause is not None:
            return Skip(cause, cause)
    return None


def skips_of_job(
    steps: Sequence[StepSpec], absent: Mapping[str, str], cases: Mapping[str, str]
) -> dict[str, Skip] | None:
    """Return why each step of a job is skipped; None if the job has to run.

    Args:
        steps: Steps of the job, in running order.
        absent: Assets of other jobs that do not exist, with the cause.
        cases: Case that each decision of other jobs has chosen.
    """
    causes = dict(absent)
    skips: dict[str, Skip] = {}
    for step in steps:
        skip = skip_of(step, causes.get, cases.get)
        if skip is None:
            return None
        skips[step.name] = skip
        causes.update(dict.fromkeys(step.outputs, skip.cause))
    return skips
