"""The error that no instance type fits: what excludes all of them, and the nearest options."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from flowyml_aws.catalog.account_families import account_family
from flowyml_aws.catalog.disk import RESERVED_GIB
from flowyml_aws.core.errors import NoInstanceFitsError
from flowyml_aws.core.gpus import gpu_models
from flowyml_aws.planning.eligibility import (
    HardwareClass,
    SelectionRequest,
    fits,
    mismatch,
    obstacle_to,
    open_targets,
    pool,
)
from flowyml_aws.planning.needs import Amounts, Needs, mib_text
from flowyml_aws.planning.nodes import EFA_LABEL
from flowyml_aws.planning.services import service_traits
from flowyml_aws.planning.targets import (
    ARCH_LABEL,
    INSTANCE_TYPE_LABEL,
    Candidate,
    Obstacle,
    Target,
    candidates_on,
    offline_targets,
)
from flowyml_aws.planning.wording import amounts_text, lacking, price_text

__all__ = ["no_fit_error"]

_MAX_LISTED = 4


def no_fit_error(request: SelectionRequest) -> NoInstanceFitsError:
    """Return the error for a request that nothing fits: the limits, and the nearest options."""
    targets, hardware = open_targets(request)
    rejected: dict[Obstacle, list[str]] = {}  # with the targets that it keeps the job from
    without_network = []  # for several nodes
    for target in request.targets:
        obstacle = obstacle_to(request, target)
        if obstacle is not None and obstacle in (target.nodes_obstacle, target.efa_obstacle):
            without_network.append(target)
        # If other targets accept the job, a target whose types do not fit is not worth listing.
        if obstacle is not None and (not targets or _first(request, hardware, target)):
            rejected.setdefault(obstacle, []).append(target.name)
    reasons = [
        (f"{_targets_text(names)}: {obstacle.reason}", obstacle.fix)
        for obstacle, names in list(rejected.items())[:_MAX_LISTED]
    ]
    eligible = [c for target in targets for c in pool(hardware, target, request.catalog)]
    limited = _first_limited(request.needs, eligible)
    if limited is not None:
        reasons.append(limited)
    elif eligible:
        reasons.append(_too_large(request.needs, hardware, eligible))
    elif targets:
        reasons.append(_no_such_type(request, hardware, targets))
    elif not rejected:
        reasons.append(("there is no target to run on", "configure a queue, or plan offline"))
    for target in targets:
        if (lack := _lacks_disk(request, hardware, target)) is not None:
            reasons.append(lack)
        if unavailable := _first(request, hardware, target.with_closed_types()):
            why = f"{unavailable.name} would fit, but {target.closed[unavailable.name]}"
            fix = f"lift that limit, or do without {unavailable.name}"
            reasons.append((f"target {target.name!r}: {why}", fix))
    why = "; ".join(dict.fromkeys(why for why, _ in reasons))
    if others := sum(map(len, list(rejected.values())[_MAX_LISTED:])):
        why += f"; {others} more targets do not accept the job"
    fixes = [fix for _, fix in reasons]
    if limited is None:  # otherwise, a target has a type that fits
        fixes += _types_to_add(request, hardware, [*targets, *without_network])
    fix = "; or ".join(dict.fromkeys(fixes))
    return NoInstanceFitsError(what=f"No instance type fits {request.needs}", why=why, fix=fix)


def _targets_text(names: Sequence[str]) -> str:
    """Return the names of targets as the beginning of a reason."""
    shown = ", ".join(map(repr, names[:_MAX_LISTED]))
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return f"target{'s' * (len(names) > 1)} {shown}{more}"


def _first(request: SelectionRequest, hardware: HardwareClass, target: Target) -> Candidate | None:
    return next(fits(request.needs, pool(hardware, target, request.catalog)), None)


def _first_limited(needs: Needs, eligible: Sequence[Candidate]) -> tuple[str, str] | None:
    """Return why and fix for the first type that is large enough, but can't have all nodes."""
    for candidate in eligible:
        limit = candidate.node_limit
        if limit is None or candidate.node_refusal(needs.nodes) is None:
            continue
        if not lacking(needs, candidate):
            most = "1 node" if limit.nodes <= 1 else f"{limit.nodes} nodes"
            return (
                f"{needs.nodes} x {candidate.name} would fit, but {limit.reason}",
                f"lift that limit, or request at most {most}",
            )
    return None


def _lacks_disk(
    request: SelectionRequest, hardware: HardwareClass, target: Target
) -> tuple[str, str] | None:
    """Return why and fix if only the disk of a target's instances is too small for the job."""
    disk, needs = target.disk, request.needs
    without = replace(needs, storage_gib=0)
    if disk is None or not needs.storage_gib:
        return None
    fitting = list(fits(without, pool(hardware, target, request.catalog)))
    if not fitting or any(c.gives.storage_gib >= needs.storage_gib for c in fitting):
        return None
    volume_gib = disk.free_gib + RESERVED_GIB
    needed_gib = needs.storage_gib + RESERVED_GIB
    family = target.labels.get("family")
    where = f"of the family {family!r} (infra/)" if family else "of its instances' launch template"
    assumed = "is assumed to have" if disk.is_assumed else "has"
    raised = f"raise volume_gib {where} to {needed_gib}, or use a family with local NVMe disks"
    if disk.is_assumed:
        raised += f"; set the queue's tag flowyml-aws:disk-gib to its volume minus {RESERVED_GIB}"
    return (
        f"target {target.name!r}: a volume {assumed} {volume_gib} GiB, of which {RESERVED_GIB} GiB "
        "are for the system and images",
        raised,
    )


def _types_to_add(
    request: SelectionRequest, hardware: HardwareClass, targets: Sequence[Target]
) -> Iterator[str]:
    """Yield a fix for each service that has a type that fits: the type to add to a target."""
    hardware = replace(hardware, spare_gpus=False)
    for service in dict.fromkeys(t.kind for t in targets if service_traits(t.kind).hosted):
        (all_types,) = offline_targets(request.catalog, service)
        all_types = replace(all_types, disk=next(t.disk for t in targets if t.kind == service))
        fitting = list(fits(request.needs, pool(hardware, all_types, request.catalog)))
        closed = {name for t in targets if t.kind == service for name in t.closed}
        if fitting and fitting[0].name in closed and not _is_over_default_limit(fitting[0]):
            continue  # a target has it already
        if fitting and service_traits(service).runs_on_queues:
            yield _queue_to_add(request.needs, fitting)
        elif fitting:
            best = fitting[0]
            price = price_text(request.needs, best)
            yield f"add {best.name} to a target of the settings: it fits{price}"


def _is_over_default_limit(candidate: Candidate) -> bool:
    """Return whether a larger `max_vcpus` of its family would allow a type that a target closes."""
    family = account_family(candidate.instance)
    return family is not None and candidate.instance.vcpus > family.max_vcpus


def _queue_to_add(needs: Needs, fitting: Sequence[Candidate]) -> str:
    for candidate in fitting:
        if (family := account_family(candidate.instance)) is not None:
            has_efa = (EFA_LABEL, "true") in needs.required
            terraform, cdk = family.lines_for(candidate.instance, needs.nodes, has_efa=has_efa)
            return (
                f"set up the family {family.name} in the account with infra/, in `families`: "
                f"`{terraform}` (Terraform) or `{cdk}` (CDK): "
                f"{candidate.name} fits{price_text(needs, candidate)}"
            )
    best = fitting[0]
    return (
        f"add {best.name} to the `sizes` of a family in the account (infra/): "
        f"it fits{price_text(needs, best)}"
    )


def _too_large(
    needs: Needs, hardware: HardwareClass, eligible: Sequence[Candidate]
) -> tuple[str, str]:
    """Return why and fix for a job that is too large for every eligible type."""
    reasons = []
    for index, name in enumerate(Amounts._fields):
        largest = max(eligible, key=lambda c: c.gives[index])
        if largest.gives[index] < needs.amounts[index]:
            requested = amounts_text(needs.amounts, (name,), hardware.gpu_model)
            most = amounts_text(_rounded(largest.gives), (name,), hardware.gpu_model)
            limit = f"no type has more than {most} ({largest.name})"
            reasons.append(f"{limit}, but the job requests {requested}")
            nominal = largest.instance.memory_mib
            if name == "memory_mib" and needs.memory_mib <= nominal:
                reasons.append(f"the system reserves part of its {mib_text(nominal)}")
    by_lack: dict[tuple[str, ...], list[Candidate]] = defaultdict(list)
    for candidate in eligible:
        by_lack[lacking(needs, candidate)].append(candidate)
    fewest = min(map(len, by_lack))
    nearest = []
    for lack, candidates in by_lack.items():
        if len(lack) == fewest:
            indexes = [Amounts._fields.index(name) for name in lack]
            best = max(candidates, key=lambda c: [c.gives[index] for index in indexes])
            amounts = amounts_text(_rounded(best.gives), lack, hardware.gpu_model)
            nearest.append(f"{amounts} ({best.name}{price_text(needs, best)})")
    why = "; ".join(reasons) or "each of these amounts is available, but no type has all of them"
    return why, f"request at most {', or '.join(nearest[:_MAX_LISTED])}, or split the work"


def _no_such_type(
    request: SelectionRequest, hardware: HardwareClass, targets: Sequence[Target]
) -> tuple[str, str]:
    """Return why and fix for a job that no type of the open targets is eligible for."""
    candidates = [c for target in targets for c in candidates_on(target, request.catalog)]
    if hardware.instance_type is not None:
        named = [c for c in candidates if c.instance.name == hardware.instance_type]
        if named:
            fix = "name a type that meets the other requirements, or omit the label"
            return _mismatch_text(hardware, named), fix
        names = [c.instance.name for c in candidates]
        near = difflib.get_close_matches(hardware.instance_type, names, n=3)
        return (
            f"no target has {INSTANCE_TYPE_LABEL}={hardware.instance_type}",
            f"did you mean {' or '.join(near)}?" if near else "add the type to a target",
        )
    if hardware.gpu_model is not None:
        with_gpu = [c for c in candidates if c.instance.gpu_model == hardware.gpu_model]
        if not with_gpu:
            return _no_such_gpu(hardware.gpu_model, candidates, targets)
        candidates = with_gpu
    if not candidates:
        return (
            "the catalog contains none of the targets' types",
            "add types that the catalog contains to a target",
        )
    if not any(c.instance.arch in hardware.arches for c in candidates):
        arches = " and ".join(sorted({c.instance.arch for c in candidates}))
        return (
            _mismatch_text(hardware, candidates),
            f"require the label {ARCH_LABEL} with an architecture that the targets have ({arches})",
        )
    return _mismatch_text(hardware, candidates), "add other types to a target"


def _no_such_gpu(
    model: str, candidates: Sequence[Candidate], targets: Sequence[Target]
) -> tuple[str, str]:
    services = " and ".join(sorted({target.kind for target in targets}))
    available = {c.instance.gpu_model for c in candidates if c.instance.gpu_model is not None}
    ranked = ", ".join(sorted(available, key=lambda name: gpu_models()[name].rank))
    fix = f"request an available GPU: {ranked}" if ranked else f"add a target with the GPU {model}"
    return f"no {services} target has types with the GPU {model}", fix


def _mismatch_text(hardware: HardwareClass, candidates: Sequence[Candidate]) -> str:
    """Return the reasons why types are not eligible, most frequent first, each with an example."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for candidate in candidates:
        if (reason := mismatch(hardware, candidate.instance)) is not None:
            reasons[reason].append(candidate.name)
    frequent = sorted(reasons.items(), key=lambda item: -len(item[1]))[:_MAX_LISTED]
    return "; ".join(
        f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {reason}"
        for reason, names in frequent
    )


def _rounded(gives: Amounts) -> Amounts:
    """Round large memory down to whole GiB: readable, and still available to a job."""
    unit = 1024 if gives.memory_mib >= 64 * 1024 else 1
    return gives._replace(memory_mib=gives.memory_mib // unit * unit)
