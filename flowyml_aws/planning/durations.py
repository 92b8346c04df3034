"""How long steps take, by what earlier runs took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.planning.history import RunTimes
from flowyml_aws.planning.needs import needs_of

__all__ = ["Durations", "idle_gpu_note"]

_SHORT = 0.5  # of a group's time
_WORTH_A_WORD_S = 60  # of a GPU that is idle


@dataclass(frozen=True, slots=True)
class Durations:
    """How long steps took in earlier runs, the newest first."""

    runs: Sequence[RunTimes]
    _by_step: dict[str, dict[str | None, list[float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for run in self.runs:
            for name, time in run.steps.items():
                by_type = self._by_step.setdefault(name, {})
                by_type.setdefault(time.instance_type, []).append(time.duration_s)

    def of(self, step: str, instance_type: str | None) -> float | None:
        """Expected seconds of a step, or None if it has never run."""
        by_type = self._by_step.get(step, {})
        same = by_type.get(instance_type)
        found = same or [seconds for times in by_type.values() for seconds in times]
        return median(found) if found else None

    def measured_elsewhere(self, step: str, instance_type: str | None) -> bool:
        """Whether the step has only run on other types."""
        by_type = self._by_step.get(step, {})
        return bool(by_type) and instance_type not in by_type


def idle_gpu_note(group: StepGroup, durations: Durations, instance_type: str) -> str | None:
    """What to say of a group that pays for a GPU most of whose steps do not use it."""
    together = group.aggregated_resources
    if together is None or together.gpu is None or len(group.steps) == 1:
        return None
    needs = [needs_of(step.requirements()) for step in group.steps]
    using = [s.name for s, n in zip(group.steps, needs, strict=True) if n.gpu_model is not None]
    if not using or len(using) == len(group.steps):
        return None
    seconds = {step.name: durations.of(step.name, instance_type) for step in group.steps}
    known = [value for value in seconds.values() if value is not None]
    if len(known) < len(seconds):
        if len(using) > 1:
            return None
        return f"only step {using[0]!r} asks for a GPU: the others hold it while they run"
    on_gpu, total = sum(seconds[name] or 0 for name in using), sum(known)
    if on_gpu >= _SHORT * total or total - on_gpu < _WORTH_A_WORD_S:
        return None
    names = ", ".join(map(repr, using))
    return (
        f"only {names} asked for the GPU, {on_gpu / 60:.1f} of the group's {total / 60:.1f} "
        "minutes: see the cheapest split"
    )
