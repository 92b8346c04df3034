"""Explanation of a selection: notes on it, and the reason for each rejected type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flowyml_aws.catalog.disk import DEFAULT_VOLUME_GIB
from flowyml_aws.planning.eligibility import (
    HardwareClass,
    SelectionRequest,
    fits,
    last_resort,
    mismatch,
    obstacle_to,
    open_targets,
    pool,
)
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.nodes import EFA_LABEL, spot_refusal
from flowyml_aws.planning.targets import (
    CAPACITY_LABEL,
    INSTANCE_TYPE_LABEL,
    Candidate,
    Target,
    candidates_on,
)
from flowyml_aws.planning.wording import amounts_text, lacking, price_text

__all__ = ["Rejection", "notes_on", "rejections"]

_PRICE_NOTES = {
    "unknown": "the price of {} is unknown",
    "estimated": "the SageMaker price of {} is estimated from the EC2 price",
    "at most": "the spot price of {} is unknown; at most the on-demand price, which is shown",
}


@dataclass(frozen=True, slots=True)
class Rejection:
    """The reason why an instance type, or a whole target (`instance_type` None), is rejected.

    Attributes:
        lacks: Names of the amounts that are too small: fields of `Amounts`.
    """

    target: str
    instance_type: str | None
    reason: str
    lacks: tuple[str, ...] = ()


def notes_on(request: SelectionRequest, hardware: HardwareClass, best: Candidate) -> Iterator[str]:
    """Yield notes for the user on the selected candidate."""
    instance, target = best.instance, best.target
    if instance.retired_after:
        fitting = fits(request.needs, pool(hardware, target, request.catalog))
        current = next((c.name for c in fitting if not c.instance.retired_after), None)
        yield (
            f"{best.name} is retired (AWS last listed it on {instance.retired_after}): "
            f"if the region no longer offers it, {current or 'no other type'} fits instead"
        )
    yield from _cheaper_unavailable_type(request, hardware, best)
    yield from _node_notes(request.needs, best)
    if (reason := last_resort(hardware, instance)) is not None:
        yield f"only {best.name} fits, and {reason}"
    yield from _PRICE_NOTES.get(best.price_basis, "").format(best.name).splitlines()
    if instance.gpu_model is not None and request.needs.gpu_model is None:
        yield f"{best.name} has GPUs, and the job uses none: no type without GPUs is eligible"
    if request.needs.storage_gib and target.disk is not None and target.disk.is_assumed:
        yield (
            f"queue {target.name!r} has no tag flowyml-aws:disk-gib: a volume of "
            f"{DEFAULT_VOLUME_GIB} GiB is assumed, ECS's default, with {target.disk.free_gib} GiB "
            "for jobs"
        )
    requires_type = any(label == INSTANCE_TYPE_LABEL for label, _ in request.needs.required)
    if requires_type and _placed_by_batch(target) and len(target.instance_types) > 1:
        yield f"queue {target.name!r} also has other types: Batch may use any that is large enough"


def rejections(request: SelectionRequest, best: Candidate) -> Iterator[Rejection]:
    """Yield each rejected target, and each rejected type of the other targets, with the reason."""
    targets, hardware = open_targets(request)
    is_last_resort = last_resort(hardware, best.instance) is not None
    for target in request.targets:
        if (obstacle := obstacle_to(request, target)) is not None:
            yield Rejection(target.name, None, obstacle.reason)
    for target in targets:
        candidates = candidates_on(target, request.catalog)
        for candidate in candidates:
            instance = candidate.instance
            if (reason := mismatch(hardware, instance)) is not None:
                yield Rejection(target.name, candidate.name, reason)
            elif lacks := lacking(request.needs, candidate):
                amounts = amounts_text(candidate.gives, lacks, hardware.gpu_model)
                yield Rejection(target.name, candidate.name, f"it provides {amounts}", lacks)
            elif (refusal := candidate.node_refusal(request.needs.nodes)) is not None:
                yield Rejection(target.name, candidate.name, refusal)
            elif not is_last_resort and (reason := last_resort(hardware, instance)) is not None:
                yield Rejection(target.name, candidate.name, f"{reason}, and other types fit")
        for name, reason in target.closed.items():
            yield Rejection(target.name, name, reason)
        names = {name for c in candidates for name in (c.name, c.instance.name)}
        for name in target.instance_types:
            if name not in names:
                yield Rejection(
                    target.name, name, f"the catalog contains no such {target.kind} type"
                )


def _cheaper_unavailable_type(
    request: SelectionRequest, hardware: HardwareClass, best: Candidate
) -> Iterator[str]:
    """Yield a note if a cheaper type of the target would fit but is unavailable."""
    for candidate in pool(hardware, best.target, request.catalog):
        if candidate.rank >= best.rank:
            break
        refusal = candidate.node_refusal(request.needs.nodes)
        if refusal is not None and not lacking(request.needs, candidate):
            yield f"{candidate.name} would fit{price_text(request.needs, candidate)}, but {refusal}"
            break
    unavailable = pool(hardware, best.target.with_closed_types(), request.catalog)
    first = next(fits(request.needs, unavailable), None)
    if first is not None and first.rank < best.rank:
        reason = best.target.closed[first.name]
        yield f"{first.name} would fit{price_text(request.needs, first)}, but {reason}"


def _node_notes(needs: Needs, best: Candidate) -> Iterator[str]:
    """Yield notes on labels that jobs of several nodes prefer without getting them."""
    preferred = dict(needs.preferred)
    if preferred.get(CAPACITY_LABEL) == "spot" and best.target.capacity != "spot":
        refusal = spot_refusal(needs, best.target.kind)
        if refusal is not None:
            yield f"{refusal}: capacity on demand is used"
    if preferred.get(EFA_LABEL) != "true" or best.has_efa(needs.nodes):
        return
    obstacle = best.target.efa_obstacle if needs.nodes > 1 else None
    if obstacle is None:
        yield f"{best.name} has no EFA, although it is preferred"
    else:
        lack = f"target {best.target.name!r} has no EFA, although it is preferred"
        yield f"{lack}: {obstacle.reason}; to have EFA, {obstacle.fix}"


def _placed_by_batch(target: Target) -> bool:
    return target.placed_by == "queue"
