"""Checks of the options of a job against its service and its queues, and notes on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.core.job_options import NO_OPTIONS
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.planning.services import SERVICES, service_traits
from flowyml_aws.planning.targets import Target

__all__ = ["option_notes", "option_problems"]


def option_problems(
    group: StepGroup, backend: str, targets: Sequence[Target]
) -> Iterator[FlowymlError]:
    """Yield an error for each option of a group that its service lacks, and for an unknown queue.

    Args:
        group: Steps of the job.
        backend: Service of the job.
        targets: Targets of all services.
    """
    traits = service_traits(backend)
    for name in group.options.names:
        if name in traits.refused_options:
            yield SettingsError(
                what=f"{traits.title} has no option {name}",
                why=traits.refused_options[name],
                fix=f"omit it{_elsewhere(name, group, backend)}",
            )
    queue = group.options.queue
    own = [target for target in targets if target.kind == backend]
    if queue is None or not traits.runs_on_queues or any(t.is_assumed for t in own):
        return
    names = [target.name for target in own]
    if queue not in names:
        yield SettingsError(
            what=f"No job queue {queue!r}",
            why=f"the queues of the run are {', '.join(names) or '(none)'}",
            fix=did_you_mean(
                queue, names, "name one of them in queue=, or add it to the setting `queues`"
            ),
        )


def option_notes(group: StepGroup, backend: str) -> Iterator[str]:
    """Yield notes on options that a service does not use, or that steps get from others."""
    if group.options == NO_OPTIONS:
        return
    traits = service_traits(backend)
    names = group.options.names
    if unused := [name for name in names if name in traits.unused_options]:
        yield f"{traits.title} does not use {', '.join(unused)} of its steps"
    used = [name for name in names if name not in traits.unused_options]
    steps = {step.declared_name: step for step in group.steps if not step.is_placed}
    for name, step in steps.items():
        own = step.job.names
        if taken := [option for option in used if option not in own]:
            yield f"step {name!r} gets options of its group: {', '.join(taken)}"


def _elsewhere(option: str, group: StepGroup, backend: str) -> str:
    """Return how to run a group on a service that has an option, as the end of a fix."""
    host = service_traits(backend).host
    for name in SERVICES:
        other = service_traits(name)
        if other.host == host and option not in {*other.refused_options, *other.unused_options}:
            mapping = f'{{"{group.group_name}": "{name}", "*": "{backend}"}}'
            return f", or run the step on {other.title}: backend={mapping}"
    return ""
