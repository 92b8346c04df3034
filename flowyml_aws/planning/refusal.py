"""What to tell where no instance type fits: what excludes all of them, and what is near."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from flowyml_aws.core.errors import NoInstanceFitsError
from flowyml_aws.core.gpus import gpu_models
from flowyml_aws.planning.eligibility import (
    HardwareClass,
    SelectionRequest,
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
    offline_targets,
)
from flowyml_aws.planning.wording import amounts_text, lacking, price_text

__all__ = ["refusal"]

_MOST_LISTED = 4


def refusal(question: SelectionRequest) -> NoInstanceFitsError:
    """What to tell the user where nothing fits: the limit that excludes all, and what is near."""
    targets, kind = open_targets(question)
    barred: list[tuple[str, str]] = []  # why, fix
    for target in question.targets:
        found = obstacle_to(question, target)
        # A target that could not serve the job anyway is not worth the user's attention.
        if found is not None and (not targets or _first(question, kind, target)):
            barred.append((f"target {target.name!r}: {found.reason}", found.fix))
    reasons = barred[:_MOST_LISTED]
    in_question = [c for target in targets for c in pool(kind, target, question.catalog)]
    if in_question:
        reasons.append(_too_large(question.needs, kind, in_question))
    elif targets:
        reasons.append(_no_such_type(question, kind, targets))
    elif not barred:
        reasons.append(("there is no target to run on", "configure a queue, or plan offline"))
    for target in targets:
        if absent := _first(question, kind, target.with_closed_types()):
            why = f"{absent.name} would fit, but {target.closed[absent.name]}"
            fix = f"lift that limit, or do without {absent.name}"
            reasons.append((f"target {target.name!r}: {why}", fix))
    why = "; ".join(dict.fromkeys(why for why, _ in reasons))
    if len(barred) > _MOST_LISTED:
        why += f"; {len(barred) - _MOST_LISTED} more targets are closed to the job"
    fixes = [fix for _, fix in reasons] + list(_families_to_enable(question, kind, targets))
    fix = "; or ".join(dict.fromkeys(fixes))
    return NoInstanceFitsError(what=f"No instance type fits {question.needs}", why=why, fix=fix)


def _first(question: SelectionRequest, kind: HardwareClass, target: Target) -> Candidate | None:
    return next(fits(question.needs, pool(kind, target, question.catalog)), None)


def _families_to_enable(
    question: SelectionRequest, kind: HardwareClass, targets: Sequence[Target]
) -> Iterator[str]:
    """The family that would serve the job, for each kind of target at hand that lacks it."""
    kind = replace(kind, spare_gpus=False)
    for service in dict.fromkeys(t.kind for t in targets if t.kind != "local"):
        (everything,) = offline_targets(question.catalog, service)
        if (found := _first(question, kind, everything)) is not None:
            yield (
                f"enable the family {found.instance.family} for a target (infra/): "
                f"{found.name} fits{price_text(found.price_usd_hour)}"
            )


def _too_large(needs: Needs, kind: HardwareClass, known: Sequence[Candidate]) -> tuple[str, str]:
    """Why and fix where types of the right kind exist, but none is large enough."""
    reasons = []
    for at, name in enumerate(Amounts._fields):
        largest = max(known, key=lambda c: c.gives[at])
        if largest.gives[at] < needs.amounts[at]:
            asked = amounts_text(needs.amounts, (name,), kind.gpu_model)
            most = amounts_text(_rounded(largest.gives), (name,), kind.gpu_model)
            have = f"no type has more than {most} ({largest.name})"
            reasons.append(f"{have}, the job asks for {asked}")
            nominal = largest.instance.memory_mib
            if name == "memory_mib" and needs.memory_mib <= nominal:
                reasons.append(f"of its {mib_text(nominal)} the system keeps the rest")
    by_lack: dict[tuple[str, ...], list[Candidate]] = defaultdict(list)
    for candidate in known:
        by_lack[lacking(needs, candidate)].append(candidate)
    fewest = min(map(len, by_lack))
    nearest = []
    for lack, candidates in by_lack.items():
        if len(lack) == fewest:
            places = [Amounts._fields.index(name) for name in lack]
            best = max(candidates, key=lambda c: [c.gives[at] for at in places])
            what = f"{best.name}{price_text(best.price_usd_hour)}"
            nearest.append(f"{amounts_text(_rounded(best.gives), lack, kind.gpu_model)} ({what})")
    why = "; ".join(reasons) or "each of these amounts can be had, but no type has all of them"
    return why, f"ask for at most {', or '.join(nearest[:_MOST_LISTED])}, or split the work"


def _no_such_type(
    question: SelectionRequest, kind: HardwareClass, targets: Sequence[Target]
) -> tuple[str, str]:
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
            return _no_such_gpu(kind.gpu_model, known, targets)
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
    model: str, known: Sequence[Candidate], targets: Sequence[Target]
) -> tuple[str, str]:
    places = " and ".join(sorted({target.kind for target in targets}))
    at_hand = {c.instance.gpu_model for c in known if c.instance.gpu_model is not None}
    ranked = ", ".join(sorted(at_hand, key=lambda name: gpu_models()[name].rank))
    fix = f"ask for a GPU that is there: {ranked}" if ranked else "add a target with GPUs"
    return f"no {places} target has types with the GPU {model}", fix


def _unfit_text(kind: HardwareClass, candidates: Sequence[Candidate]) -> str:
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


def _rounded(gives: Amounts) -> Amounts:
    """Large memory in whole GiB, rounded down: easy to read, and what can be asked for."""
    coarse = 1024 if gives.memory_mib >= 64 * 1024 else 1
    return gives._replace(memory_mib=gives.memory_mib // coarse * coarse)
