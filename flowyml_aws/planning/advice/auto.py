"""Resources of steps with `resources="auto"`, decided from earlier runs, and their origins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from flowyml_aws.core.amounts import counted
from flowyml_aws.core.auto_resources import declared_minimum, is_auto
from flowyml_aws.core.resources import GPUConfig, ResourceRequirements
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.planning.advice.evidence import MIN_RUNS, Evidence, evidence_of
from flowyml_aws.planning.advice.requests import MEMORY_MARGIN, NOTHING, advised_needs
from flowyml_aws.planning.history import RunTimes
from flowyml_aws.planning.needs import Amounts, Needs, mib_text, needs_of

__all__ = ["START", "ResolvedGroup", "resolve_auto", "with_amounts"]

START = Needs(vcpus=2, memory_mib=8192)
"""Amounts until enough runs have measured a step. General-purpose types have 4 GiB for each vCPU.
Too much memory costs cents, and too little costs a failed attempt."""


@dataclass(frozen=True, slots=True)
class ResolvedGroup:
    """A group whose steps all have amounts.

    Attributes:
        group: The group with the decided resources.
        origins: Origin of each amount, by the name of its field in `Needs`; empty if no step has
            `resources="auto"`.
    """

    group: StepGroup
    origins: Mapping[str, str] = field(default_factory=dict)


def resolve_auto(
    group: StepGroup, history: Sequence[RunTimes], margin: float = MEMORY_MARGIN
) -> ResolvedGroup:
    """Return the group with the amounts of the steps that have `resources="auto"`.

    Before any run, a step gets its minimum, and `START` for amounts without a minimum. These are
    lower bounds until `MIN_RUNS` runs have measured the step. From then on, only the minimum is.

    Args:
        group: Group as declared.
        history: Earlier runs, newest first.
        margin: Memory above the highest peak, as a part of it.
    """
    if not any(is_auto(step.resources) for step in group.steps):
        return ResolvedGroup(group)
    steps: list[Step] = []
    highest: dict[str, tuple[int, str]] = {}
    for step in group.steps:
        origins = dict.fromkeys(_declared_fields(step), "declared")
        if is_auto(step.resources):
            step, origins = _resolve(step, evidence_of(step.declared_name, history), margin)
        amounts = needs_of(step.requirements()).amounts._asdict()
        for name, origin in origins.items():
            highest[name] = max(highest.get(name, (0, "")), (amounts[name], origin), key=_amount)
        steps.append(step)
    origins = {name: origin for name, (_, origin) in highest.items()}
    return ResolvedGroup(group.with_steps(steps), origins)


def with_amounts(step: Step, amounts: Needs) -> Step:
    """Return a step that requests these amounts; its labels remain.

    Args:
        step: The step.
        amounts: Amounts, with the GPU model of the step, or without GPUs.
    """
    declared = declared_minimum(step.resources) or ResourceRequirements()
    gpu = declared.gpu
    if gpu is not None:
        memory = f"{amounts.gpu_memory_gb}Gi" if amounts.gpu_memory_gb else None
        # Not the declared name, which may require memory, too: `a100-80gb`.
        model = amounts.gpu_model
        gpu = None if model is None else GPUConfig(model, amounts.gpu_count, memory)
    resources = replace(
        declared,
        cpu=amounts.vcpus,
        memory=mib_text(amounts.memory_mib),
        storage=f"{amounts.storage_gib}Gi" if amounts.storage_gib else None,
        gpu=gpu,
    )
    return replace(step, resources=resources)


def _resolve(step: Step, evidence: Evidence, margin: float) -> tuple[Step, dict[str, str]]:
    """Return a step with amounts, and the origin of each."""
    declared = _declared_fields(step)
    start = START if evidence.runs < MIN_RUNS else NOTHING
    minimum = needs_of(step.requirements())
    floor = replace(
        minimum,
        vcpus=minimum.vcpus if "vcpus" in declared else start.vcpus,
        memory_mib=minimum.memory_mib if "memory_mib" in declared else start.memory_mib,
    )
    needs = advised_needs(floor, evidence, floor, margin)
    origins = {
        name: _origin(name, needs.amounts, floor.amounts, declared, evidence, margin)
        for name, amount in needs.amounts._asdict().items()
        if amount
    }
    return with_amounts(step, needs), origins


def _origin(
    name: str,
    amounts: Amounts,
    floor: Amounts,
    declared: Sequence[str],
    evidence: Evidence,
    margin: float,
) -> str:
    amount = getattr(amounts, name)
    if amount == getattr(floor, name):
        if name in declared:
            return "declared"
        if evidence.runs < MIN_RUNS:
            so_far = counted(evidence.runs, "run")
            return f"default, until {MIN_RUNS} runs have measured it; {so_far} so far"
        return f"lowest request, measured in {counted(evidence.runs, 'run')}"
    if amount == getattr(evidence, f"grown_{name}", None):
        return f"raised after run {evidence.grown_in} used up less"
    most = {
        "vcpus": f"{evidence.cpu_peak_cores:g} cores",
        "memory_mib": f"{evidence.memory_mib:,} MiB, plus {margin:.0%}",
        "gpu_memory_gb": f"{evidence.gpu_memory_mib:,} MiB",
    }
    return f"measured in {counted(evidence.runs, 'run')}, at most {most[name]}"


def _declared_fields(step: Step) -> list[str]:
    """Return the amounts that a step declares, by their names in `Needs`."""
    resources = step.requirements()
    if resources is None:
        return []
    fields = [("vcpus", resources.cpu), ("memory_mib", resources.memory)]
    names = [name for name, value in fields if value is not None]
    amounts = needs_of(resources).amounts._asdict()
    return names + [name for name in _OPTIONAL if amounts[name]]


_OPTIONAL = ("storage_gib", "gpu_count", "gpu_memory_gb")


def _amount(entry: tuple[int, str]) -> int:
    return entry[0]
