"""Use of spot capacity: a short form of a node label, for a step or a whole run."""

from __future__ import annotations

from typing import Literal, get_args

from flowyml_aws.core.resources import NodeAffinity, ResourceRequirements

__all__ = ["CAPACITY_LABEL", "SPOT_RULES", "SpotRule", "spot_affinity", "with_spot"]

CAPACITY_LABEL = "karpenter.sh/capacity-type"

SpotRule = Literal["always", "prefer", "never"]
"""`always`: only spot capacity; `prefer`: spot capacity first, on demand if it is lost or missing;
`never`: on demand only."""
SPOT_RULES: tuple[str, ...] = get_args(SpotRule)


def spot_affinity(rule: SpotRule) -> NodeAffinity:
    """Return the node labels of a rule."""
    if rule == "prefer":
        return NodeAffinity(preferred={CAPACITY_LABEL: "spot"})
    return NodeAffinity(required={CAPACITY_LABEL: "spot" if rule == "always" else "on-demand"})


def with_spot(
    resources: ResourceRequirements | None, rule: SpotRule | None
) -> ResourceRequirements | None:
    """Return the resources of a step with the labels of its rule.

    Raises:
        AffinityConflictError: The resources require another capacity.
    """
    if rule is None:
        return resources
    own = ResourceRequirements(node_affinity=spot_affinity(rule))
    return own if resources is None else resources.merge_with(own)
