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

_Machines = tuple[str | None, int]
"""Instance type, None on this machine, and number of nodes of the job of a step."""


@dataclass(frozen=True, slots=True)
class Durations:
    """Durations of steps in earlier runs.

    Attributes:
        runs: Earlier runs, newest first.
        items: Number of items of each step that runs several ones; the durations are those of one.
    """

    runs: Sequence[RunTimes]
    items: Mapping[str, int] = field(default_factory=dict)
    _by_step: dict[str, dict[_Machines, list[float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for run in self.runs:
            for name, time in run.steps.items():
                by_machines = self._by_step.setdefault(name, {})
                machines = time.instance_type, time.nodes
                by_machines.setdefault(machines, []).append(time.duration_s)

    def expected_s(
        self, step: str, instance_type: str | None, nodes: int | None = None
    ) -> float | None:
        """Return the expected seconds of a step, or None if it has never run.

        Times of jobs with the same number of nodes are preferred, then those on the same type.

        Args:
            step: Name of the step.
            instance_type: Type of its job; None on this machine.
            nodes: Number of nodes of its job; None if it does not matter.
        """
        times = self._times_of(step)
        same_nodes = {on: seconds for on, seconds in times.items() if on[1] == nodes} or times
        same_type = {on: seconds for on, seconds in same_nodes.items() if on[0] == instance_type}
        durations = [s for seconds in (same_type or same_nodes).values() for s in seconds]
        return median(durations) * self.items.get(step, 1) if durations else None

    def only_on_other_types(self, step: str, instance_type: str | None) -> bool:
        """Return True if the step has run, but only on other instance types."""
        times = self._times_of(step)
        return bool(times) and instance_type not in {known for known, _ in times}

    def only_on_other_nodes(self, step: str, nodes: int) -> bool:
        """Return True if the step has run, but only in jobs with another number of nodes."""
        times = self._times_of(step)
        return bool(times) and nodes not in {known for _, known in times}

    def _times_of(self, step: str) -> Mapping[_Machines, Sequence[float]]:
        """Return the durations of a step by its machines; an item has those of its step."""
        return self._by_step.get(step) or self._by_step.get(declared_name(step)) or {}


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
