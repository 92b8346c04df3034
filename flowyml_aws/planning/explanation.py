"""Why a choice is as it is: notes on it, and the reason against each type not taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flowyml_aws.planning.eligibility import (
    HardwareClass,
    SelectionRequest,
    fits,
    last_resort,
    obstacle_to,
    open_targets,
    pool,
    unfit,
)
from flowyml_aws.planning.targets import (
    INSTANCE_TYPE_LABEL,
    Candidate,
    Target,
    candidates_on,
)
from flowyml_aws.planning.wording import amounts_text, lacking, price_text

__all__ = ["Rejection", "notes_on", "rejections"]

_PRICE_NOTES = {
    "unknown": "the price of {} is unknown",
    "estimated": "the SageMaker price of {} is estimated from EC2's",
    "at most": "the price of {} on spot is unknown: at most the one on demand, which is given",
}


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an instance type, or a whole target (`instance_type` None), is not taken.

    Attributes:
        lacks: The amounts that are too small, fields of `Amounts`.
    """

    target: str
    instance_type: str | None
    reason: str
    lacks: tuple[str, ...] = ()


def notes_on(question: SelectionRequest, kind: HardwareClass, best: Candidate) -> Iterator[str]:
    """What the user should know about a choice."""
    instance, target = best.instance, best.target
    if instance.retired_after:
        others = fits(question.needs, pool(kind, target, question.catalog))
        current = next((c.name for c in others if not c.instance.retired_after), None)
        yield (
            f"{best.name} is retired (AWS last listed it on {instance.retired_after}): "
            f"where the region has it no more, {current or 'nothing else here'} fits next"
        )
    yield from _cheaper_if_it_were_there(question, kind, best)
    if (why := last_resort(kind, instance)) is not None:
        yield f"nothing but {best.name} fits, and {why}"
    yield from _PRICE_NOTES.get(best.price_basis, "").format(best.name).splitlines()
    if instance.gpu_model is not None and question.needs.gpu_model is None:
        yield f"{best.name} has GPUs, and the job uses none: no other type is open to it"
    named = any(label == INSTANCE_TYPE_LABEL for label, _ in question.needs.required)
    if named and _placed_by_batch(target) and len(target.instance_types) > 1:
        yield f"queue {target.name!r} has other types too: Batch may take any that is large enough"


def rejections(question: SelectionRequest, best: Candidate) -> Iterator[Rejection]:
    """Every target and every type on the others that is not taken, with the reason."""
    targets, kind = open_targets(question)
    resorts = last_resort(kind, best.instance) is not None
    for target in question.targets:
        if (found := obstacle_to(question, target)) is not None:
            yield Rejection(target.name, None, found.reason)
    for target in targets:
        known = candidates_on(target, question.catalog)
        for candidate in known:
            if (reason := unfit(kind, candidate.instance)) is not None:
                yield Rejection(target.name, candidate.name, reason)
            elif lacks := lacking(question.needs, candidate):
                gives = amounts_text(candidate.gives, lacks, kind.gpu_model)
                yield Rejection(target.name, candidate.name, f"it gives {gives}", lacks)
            elif not resorts and (why := last_resort(kind, candidate.instance)) is not None:
                yield Rejection(target.name, candidate.name, f"{why}, and others fit")
        for name, reason in target.closed.items():
            yield Rejection(target.name, name, reason)
        names = {name for c in known for name in (c.name, c.instance.name)}
        for name in target.instance_types:
            if name not in names:
                yield Rejection(target.name, name, f"the catalog has no such {target.kind} type")


def _cheaper_if_it_were_there(
    question: SelectionRequest, kind: HardwareClass, best: Candidate
) -> Iterator[str]:
    """Why the target's cheaper type is not taken, where only its absence speaks against it."""
    absent = pool(kind, best.target.with_closed_types(), question.catalog)
    first = next(fits(question.needs, absent), None)
    if first is not None and first.rank < best.rank:
        why = best.target.closed[first.name]
        yield f"{first.name} would fit{price_text(first.price_usd_hour)}, but {why}"


def _placed_by_batch(target: Target) -> bool:
    return target.kind == "batch" and target.placed_by == "queue"
