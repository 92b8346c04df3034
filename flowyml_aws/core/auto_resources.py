"""Resources of a step that the planner decides from measurements of earlier runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flowyml_aws.core.errors import InvalidResourcesError
from flowyml_aws.core.resources import ResourceRequirements, read_resources
from flowyml_aws.core.spelling import did_you_mean

__all__ = ["Auto", "DeclaredResources", "declared_minimum", "is_auto"]

_AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Auto:
    """Resources from measurements of earlier runs; `"auto"` is the same without a minimum.

    Attributes:
        minimum: Resources that the step gets at least: a `ResourceRequirements`, or a dict with
            the same keys. Its GPU type and node affinity are those of the step.
    """

    minimum: ResourceRequirements | Mapping[str, Any] | None = None


DeclaredResources = ResourceRequirements | Mapping[str, Any] | Auto | Literal["auto"] | None
"""Resources as a step declares them."""


def is_auto(declared: object) -> bool:
    """Return whether the planner decides the amounts of these resources."""
    return isinstance(declared, Auto) or declared == _AUTO


def declared_minimum(declared: DeclaredResources) -> ResourceRequirements | None:
    """Return the declared resources of a step; those of an `Auto` are its minimum.

    Raises:
        InvalidResourcesError: A string is not `"auto"`, a key is unknown, or a value has the wrong
            type.
    """
    if isinstance(declared, Auto):
        return read_resources(declared.minimum)
    if declared == _AUTO:
        return None
    if isinstance(declared, str):
        raise InvalidResourcesError(
            what=f"Invalid resources: {declared!r}",
            why=f'the only string is "{_AUTO}"; otherwise resources are a ResourceRequirements, '
            "or a dict with its fields",
            fix=did_you_mean(declared, [_AUTO], f'write resources="{_AUTO}"'),
        )
    return read_resources(declared)
