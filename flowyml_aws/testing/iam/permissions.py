"""A permission that a request needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flowyml_aws.testing.iam.conditions import Values

__all__ = ["Need"]


@dataclass(frozen=True, slots=True)
class Need:
    """An action on a resource that a request needs permission for.

    Attributes:
        action: Action: `s3:GetObject`.
        resource: ARN of the resource; `*` for an action that AWS checks on all resources.
        context: Condition keys of the request that concern this action and resource.
    """

    action: str
    resource: str = "*"
    context: Mapping[str, Values] = field(default_factory=dict, hash=False)
