"""What a user asks for: a pipeline as it was built, and what a run of it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.packaging.project import find_project
from flowyml_aws.planning.limits import Limits
from flowyml_aws.planning.placement import Placement

__all__ = ["RunRequest"]


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A pipeline as it was built, and what a run of it is given.

    Attributes:
        name: The pipeline's.
        graph: Its steps.
        groups: All of them, in running order.
        placement: Where jobs run.
        context: Values for parameters.
        inputs: Values of assets that no step produces; for a plan, as far as they are known.
        cache: Whether outcomes of earlier runs may be used.
        refresh: Steps that run in any case, with all that depends on them.
        limits: What a run may cost; the settings' limits hold where none is named.
        detached: Whether the run has to go on without the client.
    """

    name: str
    graph: StepGraph
    groups: Sequence[StepGroup]
    placement: Placement
    context: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    cache: bool = True
    refresh: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)
    detached: bool = False

    @property
    def backend(self) -> str:
        """As records tell it: `local`, `batch+sagemaker`."""
        return self.placement.name

    @property
    def force_run(self) -> frozenset[str]:
        """Steps that may not be taken from earlier runs."""
        return self.refresh if self.cache else frozenset(step.name for step in self.graph.steps)

    @property
    def project(self) -> Path:
        """Root of the project that the steps are in."""
        return find_project(step.func for step in self.graph.steps).root

    def problems(self) -> list[FlowymlError]:
        """What is wrong with the request itself."""
        names = [step.name for step in self.graph.steps]
        unknown = sorted(self.refresh.difference(names))
        return [
            *self.placement.problems(self.groups),
            *(_no_such_step(name, names) for name in unknown),
        ]


def _no_such_step(name: str, names: Sequence[str]) -> SettingsError:
    return SettingsError(
        what=f"There is no step {name!r} to refresh",
        why=f"the steps are {', '.join(names)}",
        fix=did_you_mean(name, names, "name one of them"),
    )
