"""The cheapest instance type that fits a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

from flowyml_aws.core.errors import NoInstanceFitsError
from flowyml_aws.planning.catalog import Catalog, InstanceType
from flowyml_aws.planning.eligibility import EC2_ARCHES, Question, fits, open_targets, pool
from flowyml_aws.planning.explanation import Rejection, notes_on, refusal, rejections
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.targets import (
    ARCH_LABEL,
    INSTANCE_TYPE_LABEL,
    Candidate,
    Target,
    has_label,
    soft_taints,
)

__all__ = ["MAX_TYPES", "Choice", "Rejection", "select"]

MAX_TYPES = 5
"""Types of one choice, fallbacks included: as many as SageMaker's InstancePreferences holds."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a job goes and on which instance type.

    Attributes:
        instance_type: The type's name on the target: `ml.g4dn.xlarge` on SageMaker.
        fallbacks: Up to four further types of the same target, the next best first.
        price_usd_hour: On demand, or None where unknown.
        notes: What the user should know about this choice.
        question: What it answers.
    """

    target: Target
    instance: InstanceType = field(repr=False)
    instance_type: str
    fallbacks: tuple[Candidate, ...]
    price_usd_hour: float | None
    notes: tuple[str, ...]
    question: Question = field(repr=False)

    def candidates(self) -> tuple[Candidate, ...]:
        """Every type that fits, over all targets, the best first."""
        found = (c for ranked in _ranked_by_target(self.question) for c in ranked)
        return tuple(sorted(found, key=lambda c: _order(self.question, c)))

    def rejections(self) -> tuple[Rejection, ...]:
        """Every type and every target that is out, with the reason."""
        return tuple(rejections(self.question))


def select(needs: Needs, targets: Sequence[Target], catalog: Catalog) -> Choice:
    """The best instance type for a job on these targets.

    Preferred labels and soft taints come first, then the price on demand, then the newer
    generation, then the order of the targets.

    Raises:
        NoInstanceFitsError: Nothing fits; the error tells what excludes everything, and what
            comes nearest.
    """
    outcome = _decide(Question(needs, tuple(targets), catalog))
    if isinstance(outcome, Choice):
        return outcome
    # A new one each time: a raised error collects tracebacks.
    raise NoInstanceFitsError(*outcome)


@lru_cache(maxsize=1024)
def _decide(question: Question) -> Choice | tuple[str, str, str]:
    by_target = [ranked for ranked in _ranked_by_target(question) if ranked]
    if not by_target:
        error = refusal(question)
        return error.what, error.why, error.fix
    best, *others = min(by_target, key=lambda ranked: _order(question, ranked[0]))
    # Types of two architectures share neither a compute environment nor an image.
    alike = (c for c in others if c.instance.arch == best.instance.arch)
    return Choice(
        target=best.target,
        instance=best.instance,
        instance_type=best.name,
        fallbacks=tuple(islice(alike, MAX_TYPES - 1)),
        price_usd_hour=best.price_usd_hour,
        notes=tuple(notes_on(question, best, others)),
        question=question,
    )


def _ranked_by_target(question: Question) -> list[list[Candidate]]:
    targets, kind = open_targets(question)
    found = [fits(question.needs, pool(kind, t, question.catalog)) for t in targets]
    if question.needs.preferred:
        for ranked in found:
            ranked.sort(
                key=lambda c: _unmet_preferences(question, c)
            )  # stable: by price among equals
    return found


def _order(question: Question, candidate: Candidate) -> tuple[float, ...]:
    price, generation, _ = candidate.rank
    unmet = _unmet_preferences(question, candidate)
    return unmet, soft_taints(candidate.target, question.needs), price, generation


def _unmet_preferences(question: Question, candidate: Candidate) -> int:
    return sum(not _prefers(question, candidate, *label) for label in question.needs.preferred)


def _prefers(question: Question, candidate: Candidate, label: str, value: str) -> bool:
    if label == INSTANCE_TYPE_LABEL:
        return value in (candidate.name, candidate.instance.name)
    if label == ARCH_LABEL:
        return EC2_ARCHES.get(value, value) == candidate.instance.arch
    return has_label(candidate.target, label, value, question.catalog)
