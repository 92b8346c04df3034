"""A plan as one HTML page with its graph, which needs no server and makes no request."""

from __future__ import annotations

from collections.abc import Mapping

from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.report.outline import plan_outline
from flowyml_aws.report.rendering import packed_json, render

__all__ = ["plan_html"]


def plan_html(plan: ExecutionPlan, machines: Mapping[str, str]) -> str:
    """Return a page with the graph of a plan, and a table of its jobs.

    Args:
        plan: The plan.
        machines: Machine of each job as text; empty on this machine.
    """
    nodes = [node.to_dict() for node in plan_outline(plan, machines)]
    return render(
        "plan.html",
        scripts=("base.js", "keyboard.js", "graph.js", "plan.js"),
        plan=plan,
        machines=machines,
        nodes=packed_json(nodes),
    )
