"""Selection of the cheapest instance type that fits a job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice

from flowyml_aws.catalog.types import Catalog, InstanceType
from flowyml_aws.core.errors import NoInstanceFitsError
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
from flowyml_aws.planning.no_fit import no_fit_error
from flowyml_aws.planning.nodes import EFA_LABEL
from flowyml_aws.planning.services import service_traits
from flowyml_aws.planning.targets import (
    ARCH_LABEL,
    INSTANCE_TYPE_LABEL,
    Candidate,
    Target,
    has_label,
    soft_taints,
)

__all__ = ["MAX_TYPES", "Rejection", "Selection", "find", "select"]

MAX_TYPES = 5
"""Most types of one selection, fallbacks included: the limit of SageMaker's InstancePreferences."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The target and instance type that were selected for a job.

    Attributes:
        best: Selected type on its target.
        fallbacks: Up to four more types of the same target, next best first.
        notes: Notes for the user on this selection.
        request: Request that was answered.
    """

    best: Candidate = field(repr=False)
    fallbacks: tuple[Candidate, ...]
    notes: tuple[str, ...]
    request: SelectionRequest = field(repr=False)

    @property
    def target(self) -> Target:
        """Target of the job."""
        return self.best.target

    @property
    def instance(self) -> InstanceType:
        """Selected type."""
        return self.best.instance

    @property
    def instance_type(self) -> str:
        """Name of the selected type on the target."""
        return self.best.name

    @property
    def price_usd_hour(self) -> float | None:
        """Price of the selected type, or None if unknown."""
        return self.best.price_usd_hour

    def candidates(self) -> tuple[Candidate, ...]:
        """Return every type that fits on any target, best first.

        Last resorts are included only if the selected type is one.
        """
        hardware, ranked_by_target = _ranked_by_target(self.request)
        fitting = list(chain.from_iterable(ranked_by_target))
        if last_resort(hardware, self.best.instance) is None:
            fitting = [c for c in fitting if last_resort(hardware, c.instance) is None]
        return tuple(sorted(fitting, key=lambda c: _order(self.request, hardware, c)))

    def near_misses(self) -> tuple[NearMiss, ...]:
        """Return cheaper types that lack a little of one amount."""
        return tuple(near_misses(self.request, self.best))

    def rejections(self) -> tuple[Rejection, ...]:
        """Return every rejected type and target, with the reason."""
        return tuple(rejections(self.request, self.best))


def select(needs: Needs, targets: Sequence[Target], catalog: Catalog) -> Selection:
    """Return the best instance type for a job on these targets.

    Candidates are ranked by preferred labels, then soft taints, then whether they are a last resort
    (bare metal, burstable), then price, then EFA for several nodes, then newer generation, then the
    order of the targets.

    Raises:
        NoInstanceFitsError: Nothing fits. The error names the limits that exclude every type, and
            the nearest options.
    """
    request = SelectionRequest(needs, tuple(targets), catalog)
    if (selection := _decide(request)) is not None:
        return selection
    # Not cached: a raised error collects tracebacks.
    raise NoInstanceFitsError(*_refusal(request))


def find(needs: Needs, targets: Sequence[Target], catalog: Catalog) -> Selection | None:
    """Return the selection for a job, or None if nothing fits, without looking for the reason."""
    return _decide(SelectionRequest(needs, tuple(targets), catalog))


@lru_cache(maxsize=1024)
def _refusal(request: SelectionRequest) -> tuple[str, str, str]:
    error = no_fit_error(request)
    return error.what, error.why, error.fix


@lru_cache(maxsize=1024)
def _decide(request: SelectionRequest) -> Selection | None:
    hardware, ranked_by_target = _ranked_by_target(request)
    bests = [(best, rest) for rest in ranked_by_target if (best := next(rest, None))]
    if not bests:
        return None
    best, rest = min(bests, key=lambda pair: _order(request, hardware, pair[0]))
    # Types of two architectures share neither a compute environment nor an image.
    fallbacks = (c for c in rest if c.instance.arch == best.instance.arch)
    if service_traits(best.target.kind).has_job_volumes:
        # A job has one volume size for all types; types with local disks have no volume.
        fallbacks = (
            c for c in fallbacks if bool(c.instance.nvme_gb) == bool(best.instance.nvme_gb)
        )
    if last_resort(hardware, best.instance) is None:
        fallbacks = (c for c in fallbacks if last_resort(hardware, c.instance) is None)
    return Selection(
        best=best,
        fallbacks=tuple(islice(fallbacks, MAX_TYPES - 1)),
        notes=tuple(notes_on(request, hardware, best)),
        request=request,
    )


def _ranked_by_target(
    request: SelectionRequest,
) -> tuple[HardwareClass, list[Iterator[Candidate]]]:
    """Return the hardware class, and the types that fit on each open target, best first."""
    targets, hardware = open_targets(request)
    pools = (pool(hardware, t, request.catalog) for t in targets)
    if request.needs.preferred or request.needs.nodes > 1:
        # The sort is stable: equal candidates keep the order of the pool.
        pools = (tuple(sorted(p, key=lambda c: _order(request, hardware, c))) for p in pools)
    return hardware, [fits(request.needs, p) for p in pools]


def _order(
    request: SelectionRequest, hardware: HardwareClass, candidate: Candidate
) -> tuple[float, ...]:
    price, generation, _ = candidate.rank
    unmet = _unmet_preferences(request, candidate)
    soft = soft_taints(candidate.target, request.needs)
    is_last_resort = last_resort(hardware, candidate.instance) is not None
    lacks_efa = request.needs.nodes > 1 and not candidate.has_efa(request.needs.nodes)
    return unmet, soft, is_last_resort, price, lacks_efa, generation


def _unmet_preferences(request: SelectionRequest, candidate: Candidate) -> int:
    return sum(not _prefers(request, candidate, *label) for label in request.needs.preferred)


def _prefers(request: SelectionRequest, candidate: Candidate, label: str, value: str) -> bool:
    if label == INSTANCE_TYPE_LABEL:
        return value in (candidate.name, candidate.instance.name)
    if label == ARCH_LABEL:
        return EC2_ARCHES.get(value, value) == candidate.instance.arch
    if label == EFA_LABEL:
        return value == ("true" if candidate.has_efa(request.needs.nodes) else "false")
    return has_label(candidate.target, label, value, request.catalog)
