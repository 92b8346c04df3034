"""The cheapest instance type that fits a job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice

from flowyml_aws.core.errors import NoInstanceFitsError
from flowyml_aws.planning.catalog import Catalog, InstanceType
from flowyml_aws.planning.eligibility import (
    EC2_ARCHES,
    HardwareClass,
    SelectionRequest,
    fits,
    last_resort,
    open_targets,
    pool,
)
from flowyml_aws.planning.explanation import Rejection, notes_on, rejections
from flowyml_aws.planning.near_misses import NearMiss, near_misses
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.refusal import refusal
from flowyml_aws.planning.targets import (
    ARCH_LABEL,
    INSTANCE_TYPE_LABEL,
    Candidate,
    Target,
    has_label,
    soft_taints,
)

__all__ = ["MAX_TYPES", "Rejection", "Selection", "select"]

MAX_TYPES = 5
"""Types of one choice, fallbacks included: as many as SageMaker's InstancePreferences holds."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Where a job goes and on which instance type.

    Attributes:
        best: The chosen type on its target.
        fallbacks: Up to four further types of the same target, the next best first.
        notes: What the user should know about this choice.
        question: What it answers.
    """

    best: Candidate = field(repr=False)
    fallbacks: tuple[Candidate, ...]
    notes: tuple[str, ...]
    question: SelectionRequest = field(repr=False)

    @property
    def target(self) -> Target:
        """Where the job goes."""
        return self.best.target

    @property
    def instance(self) -> InstanceType:
        """The chosen type."""
        return self.best.instance

    @property
    def instance_type(self) -> str:
        """The chosen type's name on the target."""
        return self.best.name

    @property
    def price_usd_hour(self) -> float | None:
        """Price of the chosen type, or None where unknown."""
        return self.best.price_usd_hour

    def candidates(self) -> tuple[Candidate, ...]:
        """Every type that fits, over all targets, the best first.

        Last resorts are among them only where the choice is one.
        """
        kind, ranked_by_target = _ranked_by_target(self.question)
        found = list(chain.from_iterable(ranked_by_target))
        if last_resort(kind, self.best.instance) is None:
            found = [c for c in found if last_resort(kind, c.instance) is None]
        return tuple(sorted(found, key=lambda c: _order(self.question, kind, c)))

    def near_misses(self) -> tuple[NearMiss, ...]:
        """Cheaper types that lack a little of one amount."""
        return tuple(near_misses(self.question, self.best))

    def rejections(self) -> tuple[Rejection, ...]:
        """Every type and every target that is out, with the reason."""
        return tuple(rejections(self.question, self.best))


def select(needs: Needs, targets: Sequence[Target], catalog: Catalog) -> Selection:
    """The best instance type for a job on these targets.

    Preferred labels and soft taints come first, then what is no last resort (bare metal,
    burstable), then the price, then the newer generation, then the order of the targets.

    Raises:
        NoInstanceFitsError: Nothing fits; the error tells what excludes everything, and what
            comes nearest.
    """
    outcome = _decide(SelectionRequest(needs, tuple(targets), catalog))
    if isinstance(outcome, Selection):
        return outcome
    # A new one each time: a raised error collects tracebacks.
    raise NoInstanceFitsError(*outcome)


@lru_cache(maxsize=1024)
def _decide(question: SelectionRequest) -> Selection | tuple[str, str, str]:
    kind, ranked_by_target = _ranked_by_target(question)
    firsts = [(best, others) for others in ranked_by_target if (best := next(others, None))]
    if not firsts:
        error = refusal(question)
        return error.what, error.why, error.fix
    best, others = min(firsts, key=lambda first: _order(question, kind, first[0]))
    # Types of two architectures share neither a compute environment nor an image.
    alike = (c for c in others if c.instance.arch == best.instance.arch)
    if best.target.kind == "sagemaker":
        # A training job has one volume for all types; types with disks of their own have none.
        alike = (c for c in alike if bool(c.instance.nvme_gb) == bool(best.instance.nvme_gb))
    if last_resort(kind, best.instance) is None:
        alike = (c for c in alike if last_resort(kind, c.instance) is None)
    return Selection(
        best=best,
        fallbacks=tuple(islice(alike, MAX_TYPES - 1)),
        notes=tuple(notes_on(question, kind, best)),
        question=question,
    )


def _ranked_by_target(
    question: SelectionRequest,
) -> tuple[HardwareClass, list[Iterator[Candidate]]]:
    """What fits on each open target, the best first."""
    targets, kind = open_targets(question)
    pools = (pool(kind, t, question.catalog) for t in targets)
    if question.needs.preferred:
        # Stable: in the pool's order among equals.
        pools = (tuple(sorted(p, key=lambda c: _unmet_preferences(question, c))) for p in pools)
    return kind, [fits(question.needs, p) for p in pools]


def _order(
    question: SelectionRequest, kind: HardwareClass, candidate: Candidate
) -> tuple[float, ...]:
    price, generation, _ = candidate.rank
    unmet = _unmet_preferences(question, candidate)
    soft = soft_taints(candidate.target, question.needs)
    return unmet, soft, last_resort(kind, candidate.instance) is not None, price, generation


def _unmet_preferences(question: SelectionRequest, candidate: Candidate) -> int:
    return sum(not _prefers(question, candidate, *label) for label in question.needs.preferred)


def _prefers(question: SelectionRequest, candidate: Candidate, label: str, value: str) -> bool:
    if label == INSTANCE_TYPE_LABEL:
        return value in (candidate.name, candidate.instance.name)
    if label == ARCH_LABEL:
        return EC2_ARCHES.get(value, value) == candidate.instance.arch
    return has_label(candidate.target, label, value, question.catalog)
