"""Selection of another machine for a planned job whose resources changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flowyml_aws.core.errors import FlowymlError, InvalidResourcesError
from flowyml_aws.core.resources import ResourceRequirements
from flowyml_aws.planning.needs import Needs, needs_of
from flowyml_aws.planning.offers import SelectedOffers, Selector
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob

__all__ = ["change_needs", "replan"]

# Fields of `Needs` that each resource determines.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "cpu": ("vcpus",),
    "memory": ("memory_mib",),
    "storage": ("storage_gib",),
    "gpu": ("gpu_model", "gpu_count", "gpu_memory_gb"),
    "node_affinity": ("required", "preferred", "tolerations"),
}


def change_needs(needs: Needs, resources: ResourceRequirements) -> Needs:
    """Return the needs of a job with the given resources instead of its own; others remain.

    Raises:
        InvalidQuantityError: A quantity can't be parsed.
        UnknownGpuError: No GPU has this name.
        InvalidResourcesError: The number of nodes would change, which the run's jobs contain.
    """
    if resources.nodes not in (None, needs.nodes):
        raise InvalidResourcesError(
            what=f"The number of nodes can't be changed from {needs.nodes} to {resources.nodes}",
            why="the code and the specs of the run's jobs were stored with it",
            fix="change `nodes` of the step, and start a new run: it reuses what has succeeded",
        )
    new = needs_of(resources)
    changes: dict[str, Any] = {
        field: getattr(new, field)
        for resource, fields in _FIELDS.items()
        if getattr(resources, resource) is not None
        for field in fields
    }
    return replace(needs, **changes)


def replan(plan: ExecutionPlan, name: str, needs: Needs, selector: Selector) -> ExecutionPlan:
    """Return a plan with one of its jobs planned for other needs.

    Args:
        plan: Plan with the job.
        name: Name of the job.
        needs: New needs of the job.
        selector: Selector for the backend of the job.

    Raises:
        NoInstanceFitsError: No instance type fits.
    """
    selected = selector.select_for(needs)
    if isinstance(selected, FlowymlError):
        raise type(selected)(f"Job {name!r}: {selected.what}", selected.why, selected.fix)
    jobs = {job.name: job for job in plan.jobs}
    job = jobs[name] = jobs[name].model_copy(
        update={
            **selected.placement(jobs[name].backend),
            "needs": needs,
            "declared": None,
            "origins": {},
            "expected_cost_usd": _cost_usd(jobs[name], selected),
            "notes": (*jobs[name].notes, *selected.notes),
        }
    )
    offers = (*plan.startable.get(job.target, ()), *selected.startable)
    known = {(offer.instance_type, offer.nodes): offer for offer in offers}
    return plan.model_copy(
        update={
            "jobs": tuple(jobs.values()),
            "startable": {**plan.startable, job.target: tuple(known.values())},
        }
    )


def _cost_usd(job: PlannedJob, selected: SelectedOffers) -> float | None:
    price_usd_hour = selected.offers[0].price_usd_hour if selected.offers else None
    if job.expected_s is None or price_usd_hour is None:
        return None
    return price_usd_hour * job.expected_s / 3600
