"""Expected durations of steps, from earlier runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from flowyml_aws.core.maps import declared_name
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.planning.history import RunTimes
from flowyml_aws.planning.needs import needs_of

__all__ = ["Durations", "idle_gpu_note", "items_of"]

_MAX_GPU_SHARE = 0.5  # of a group's time; a GPU that is used longer is not reported as idle
_MIN_IDLE_S = 60  # shorter idle times of a GPU are not reported


@dataclass(frozen=True, slots=True)
class Durations:
    """Durations of steps in earlier runs.

    Attributes:
        runs: Earlier runs, newest first.
        items: Number of items of each step that runs several ones; the durations are those of one.
    """

    runs: Sequence[RunTimes]
    items: Mapping[str, int] = field(default_factory=dict)
    _by_step: dict[str, dict[str | None, list[float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for run in self.runs:
            for name, time in run.steps.items():
                by_type = self._by_step.setdefault(name, {})
                by_type.setdefault(time.instance_type, []).append(time.duration_s)

    def expected_s(self, step: str, instance_type: str | None) -> float | None:
        """Return the expected seconds of a step, or None if it has never run."""
        by_type = self._times_of(step)
        same = by_type.get(instance_type)
        durations = same or [seconds for times in by_type.values() for seconds in times]
        return median(durations) * self.items.get(step, 1) if durations else None

    def only_on_other_types(self, step: str, instance_type: str | None) -> bool:
        """Return True if the step has run, but only on other instance types."""
        by_type = self._times_of(step)
        return bool(by_type) and instance_type not in by_type

    def _times_of(self, step: str) -> dict[str | None, list[float]]:
        """Return the durations of a step by instance type; an item has those of its step."""
        return self._by_step.get(step) or self._by_step.get(declared_name(step), {})


def items_of(step: Step) -> int:
    """Return the number of items that a step is planned for: 1, if it is not a part of a map."""
    return 1 if step.item is None or step.item.part is None else step.item.part.items


def idle_gpu_note(group: StepGroup, durations: Durations, instance_type: str) -> str | None:
    """Return a note on a group whose GPU is idle for most of the time, or None."""
    resources = group.aggregated_resources
    if resources is None or resources.gpu is None or len(group.steps) == 1:
        return None
    steps = list({step.declared_name: step.declared for step in group.steps}.values())
    needs = [needs_of(step.requirements()) for step in steps]
    gpu_steps = [s.name for s, n in zip(steps, needs, strict=True) if n.gpu_model is not None]
    if not gpu_steps or len(gpu_steps) == len(steps):
        return None
    seconds = {step.name: durations.expected_s(step.name, instance_type) for step in steps}
    known = [value for value in seconds.values() if value is not None]
    if len(known) < len(seconds):
        if len(gpu_steps) > 1:
            return None
        return (
            f"only step {gpu_steps[0]!r} requests a GPU: the other steps occupy it while they run"
        )
    on_gpu, total = sum(seconds[name] or 0 for name in gpu_steps), sum(known)
    if on_gpu >= _MAX_GPU_SHARE * total or total - on_gpu < _MIN_IDLE_S:
        return None
    names = ", ".join(map(repr, gpu_steps))
    return (
        f"only {names} used the GPU, for {on_gpu / 60:.1f} of the group's {total / 60:.1f} "
        "minutes: see the cheapest split"
    )
