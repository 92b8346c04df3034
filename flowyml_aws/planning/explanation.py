"""Why a choice is as it is: notes on it, rejected types, and what to do where nothing fits."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flowyml_aws.core.errors import NoInstanceFitsError
from flowyml_aws.core.gpus import gpu_models
from flowyml_aws.planning.catalog import Catalog
from flowyml_aws.planning.eligibility import (
    Kind,
    Question,
    fits,
    obstacle_to,
    open_targets,
    pool,
    unfit,
)
from flowyml_aws.planning.needs import Amounts, Needs, mib_text
from flowyml_aws.planning.targets import (
    ARCH_LABEL,
    INSTANCE_TYPE_LABEL,
    Candidate,
    Target,
    candidates_on,
)

__all__ = ["Rejection", "notes_on", "refusal", "rejections"]

_MOST_LISTED = 4


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an instance type, or a whole target (`instance_type` None), is not taken."""

    target: str
    instance_type: str | None
    reason: str


def notes_on(question: Question, best: Candidate, others: Sequence[Candidate]) -> Iterator[str]:
    """What the user should know about a choice; `others` fit as well, the next best first."""
    instance, target = best.instance, best.target
    if instance.retired_after:
        current = next((c.name for c in others if not c.instance.retired_after), None)
        yield (
            f"{best.name} is retired (AWS last listed it on {instance.retired_after}): "
            f"where the region has it no more, {current or 'nothing else here'} fits next"
        )
    if best.price_usd_hour is None:
        yield f"the price of {best.name} is unknown"
    elif target.kind == "sagemaker" and instance.sagemaker_price_estimated:
        yield f"the SageMaker price of {best.name} is estimated from EC2's"
    if target.capacity == "spot":
        yield "the price is the one on demand: spot usually costs less"
    if instance.gpu_model is not None and question.needs.gpu_model is None:
        yield f"{best.name} has GPUs, and the job uses none: no other type is open to it"
    named = any(label == INSTANCE_TYPE_LABEL for label, _ in question.needs.required)
    if named and _placed_by_batch(target) and len(target.instance_types) > 1:
        yield f"queue {target.name!r} has other types too: Batch may take any that is large enough"


def rejections(question: Question) -> Iterator[Rejection]:
    """Every target and every type on the others that is not taken, with the reason."""
    targets, kind = open_targets(question)
    for target in question.targets:
        if (found := obstacle_to(question, target)) is not None:
            yield Rejection(target.name, None, found.reason)
    for target in targets:
        known = candidates_on(target, question.catalog)
        for candidate in known:
            reason = unfit(kind, candidate.instance)
            if reason is None and (lacking := _lacking(question.needs, candidate)):
                reason = f"it gives {_amounts_text(candidate.gives, lacking, kind)}"
            if reason is not None:
                yield Rejection(target.name, candidate.name, reason)
        names = {name for c in known for name in (c.name, c.instance.name)}
        for name in target.instance_types:
            if name not in names:
                yield Rejection(target.name, name, f"the catalog has no such {target.kind} type")


def refusal(question: Question) -> NoInstanceFitsError:
    """What to tell the user where nothing fits: the limit that excludes all, and what is near."""
    targets, kind = open_targets(question)
    closed: list[tuple[str, str]] = []  # why, fix
    for target in question.targets:
        found = obstacle_to(question, target)
        # A target that could not serve the job anyway is not worth the user's attention.
        if found is not None and (not targets or _would_serve(question, kind, target)):
            closed.append((f"target {target.name!r}: {found.reason}", found.fix))
    reasons = closed[:_MOST_LISTED]
    in_question = [c for target in targets for c in pool(kind, target, question.catalog)]
    if in_question:
        reasons.append(_too_large(question.needs, kind, in_question))
    elif targets:
        reasons.append(_no_such_type(question, kind, targets))
    elif not closed:
        reasons.append(("there is no target to run on", "configure a queue, or plan offline"))
    why = "; ".join(dict.fromkeys(why for why, _ in reasons))
    if len(closed) > _MOST_LISTED:
        why += f"; {len(closed) - _MOST_LISTED} more targets are closed to the job"
    fix = "; or ".join(dict.fromkeys(fix for _, fix in reasons))
    return NoInstanceFitsError(what=f"No instance type fits {question.needs}", why=why, fix=fix)


def _would_serve(question: Question, kind: Kind, target: Target) -> bool:
    return bool(fits(question.needs, pool(kind, target, question.catalog)))


def _too_large(needs: Needs, kind: Kind, known: Sequence[Candidate]) -> tuple[str, str]:
    """Why and fix where types of the right kind exist, but none is large enough."""
    reasons = []
    for at, name in enumerate(Amounts._fields):
        largest = max(known, key=lambda c: c.gives[at])
        if largest.gives[at] < needs.amounts[at]:
            asked = _amounts_text(needs.amounts, (name,), kind)
            most = f"{_amounts_text(_rounded(largest.gives), (name,), kind)} ({largest.name})"
            reasons.append(f"no type has more than {most}, the job asks for {asked}")
            nominal = largest.instance.memory_mib
            if name == "memory_mib" and needs.memory_mib <= nominal:
                reasons.append(f"of its {mib_text(nominal)} the system keeps the rest")
    by_lack: dict[tuple[str, ...], list[Candidate]] = defaultdict(list)
    for candidate in known:
        by_lack[_lacking(needs, candidate)].append(candidate)
    fewest = min(map(len, by_lack))
    nearest = []
    for lack, candidates in by_lack.items():
        if len(lack) == fewest:
            places = [Amounts._fields.index(name) for name in lack]
            best = max(candidates, key=lambda c: [c.gives[at] for at in places])
            what = f"{best.name}{_price_text(best.price_usd_hour)}"
            nearest.append(f"{_amounts_text(_rounded(best.gives), lack, kind)} ({what})")
    why = "; ".join(reasons) or "each of these amounts can be had, but no type has all of them"
    return why, f"ask for at most {', or '.join(nearest[:_MOST_LISTED])}, or split the work"


def _no_such_type(question: Question, kind: Kind, targets: Sequence[Target]) -> tuple[str, str]:
    """Why and fix where no type on the open targets is of the right kind."""
    known = [c for target in targets for c in candidates_on(target, question.catalog)]
    if kind.instance_type is not None:
        named = [c for c in known if c.instance.name == kind.instance_type]
        if named:
            return _unfit_text(
                kind, named
            ), "name a type that fits the rest, or leave the label out"
        near = difflib.get_close_matches(kind.instance_type, [c.instance.name for c in known], n=3)
        return (
            f"no target has {INSTANCE_TYPE_LABEL}={kind.instance_type}",
            f"did you mean {' or '.join(near)}?" if near else "add the type to a target",
        )
    if kind.gpu_model is not None:
        having = [c for c in known if c.instance.gpu_model == kind.gpu_model]
        if not having:
            return _no_such_gpu(question.catalog, kind.gpu_model, known, targets)
        known = having
    if not known:
        return "the catalog knows no type of the targets", "add types of the catalog to a target"
    if not any(c.instance.arch in kind.arches for c in known):
        others = " and ".join(sorted({c.instance.arch for c in known}))
        return (
            _unfit_text(kind, known),
            f"require the label {ARCH_LABEL} of an architecture that the targets have ({others})",
        )
    return _unfit_text(kind, known), "add other types to a target (families m, c, r for CPU jobs)"


def _no_such_gpu(
    catalog: Catalog, model: str, known: Sequence[Candidate], targets: Sequence[Target]
) -> tuple[str, str]:
    places = " and ".join(sorted({target.kind for target in targets}))
    at_hand = {c.instance.gpu_model for c in known if c.instance.gpu_model is not None}
    families = {
        t.family
        for t in catalog.types
        if t.gpu_model == model
        and t.gpu_fraction == 1
        and any(target.kind == "batch" or t.sagemaker_name for target in targets)
    }
    fixes = []
    if families:
        fixes.append(f"enable the family {' or '.join(sorted(families))} for a target (infra/)")
    if at_hand:
        ranked = sorted(at_hand, key=lambda name: gpu_models()[name].rank)
        fixes.append(f"ask for a GPU that is there: {', '.join(ranked)}")
    return (
        f"no {places} target has types with the GPU {model}",
        ", or ".join(fixes) or "add a target with GPUs",
    )


def _unfit_text(kind: Kind, candidates: Sequence[Candidate]) -> str:
    """The reasons against types, the most frequent first, each with an example."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for candidate in candidates:
        if (reason := unfit(kind, candidate.instance)) is not None:
            reasons[reason].append(candidate.name)
    frequent = sorted(reasons.items(), key=lambda item: -len(item[1]))[:_MOST_LISTED]
    return "; ".join(
        f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {reason}"
        for reason, names in frequent
    )


def _lacking(needs: Needs, candidate: Candidate) -> tuple[str, ...]:
    pairs = zip(Amounts._fields, needs.amounts, candidate.gives, strict=True)
    return tuple(name for name, wanted, given in pairs if wanted > given)


def _rounded(gives: Amounts) -> Amounts:
    """Large memory in whole GiB, rounded down: easy to read, and what can be asked for."""
    coarse = 1024 if gives.memory_mib >= 64 * 1024 else 1
    return gives._replace(memory_mib=gives.memory_mib // coarse * coarse)


def _amounts_text(amounts: Amounts, names: Sequence[str], kind: Kind) -> str:
    texts = {
        "vcpus": f"{amounts.vcpus} vCPUs",
        "memory_mib": f"{mib_text(amounts.memory_mib)} memory",
        "storage_gib": f"{amounts.storage_gib}Gi storage",
        "gpu_count": f"{amounts.gpu_count} x {kind.gpu_model or 'GPU'}",
        "gpu_memory_gb": f"{amounts.gpu_memory_gb} GB of GPU memory",
    }
    return " and ".join(texts[name] for name in names)


def _price_text(usd_hour: float | None) -> str:
    return "" if usd_hour is None else f", ${usd_hour:.{2 if usd_hour >= 1 else 4}f} an hour"


def _placed_by_batch(target: Target) -> bool:
    return target.kind == "batch" and target.placed_by == "queue"
