"""Rules for jobs of several nodes: spot capacity, limits of an account, EFA and idle nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flowyml_aws.core.amounts import usd
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.services import service_traits

__all__ = ["EFA_LABEL", "NodeLimit", "idle_node_notes", "spot_refusal"]

EFA_LABEL = "vpc.amazonaws.com/efa.present"
"""Label of nodes with an Elastic Fabric Adapter, as node groups of EKS have it; value `true`."""

_MAX_NAMES = 3


@dataclass(frozen=True, slots=True)
class NodeLimit:
    """The largest number of instances of a type that one job can have.

    Attributes:
        nodes: Number of instances.
        reason: Reason, with the way to raise it, as a clause.
    """

    nodes: int
    reason: str


def spot_refusal(needs: Needs, service: str) -> str | None:
    """Return the reason why a job can't use spot capacity of a service; None if it can."""
    traits = service_traits(service)
    if needs.nodes == 1 or traits.runs_nodes_on_spot:
        return None
    return f"{traits.title} can't run several nodes on spot capacity"


def idle_node_notes(group: StepGroup, nodes: int, usd_hour: float | None) -> Iterator[str]:
    """Yield a note on the steps of a job that use fewer nodes than it has.

    Args:
        group: Steps of the job.
        nodes: Number of nodes of the job.
        usd_hour: Price of all nodes; None if it is unknown.
    """
    by_nodes: dict[int, dict[str, None]] = {}
    for step in group.steps:
        if step.nodes < nodes:
            by_nodes.setdefault(step.nodes, {})[step.declared_name] = None
    for used, names in sorted(by_nodes.items()):
        listed = ", ".join(map(repr, list(names)[:_MAX_NAMES]))
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        subject = f"step {listed} uses" if len(names) == 1 else f"steps {listed}{more} use"
        idle_usd = None if usd_hour is None else usd_hour * (nodes - used) / nodes
        cost = "" if idle_usd is None else f", at {usd(idle_usd)} an hour"
        yield f"{subject} {used} of {nodes} nodes: the rest waits{cost}"
