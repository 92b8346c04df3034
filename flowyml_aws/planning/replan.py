"""Selection of another machine for a planned job whose resources changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.resources import ResourceRequirements
from flowyml_aws.planning.needs import Needs, needs_of
from flowyml_aws.planning.offers import Selector
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob

__all__ = ["change_needs", "replace_jobs", "replan"]

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
    """
    new = needs_of(resources)
    changes: dict[str, Any] = {
        field: getattr(new, field)
        for resource, fields in _FIELDS.items()
        if getattr(resources, resource) is not None
        for field in fields
    }
    return replace(needs, **changes)


def replan(job: PlannedJob, needs: Needs, selector: Selector) -> PlannedJob:
    """Return a job, planned for other needs.

    Raises:
        NoInstanceFitsError: No instance type fits.
    """
    selected = selector.select_for(needs)
    if isinstance(selected, FlowymlError):
        raise type(selected)(f"Job {job.name!r}: {selected.what}", selected.why, selected.fix)
    target = selected.selection.target if selected.selection is not None else None
    return job.model_copy(
        update={
            "needs": needs,
            "target": job.target if target is None else target.name,
            "capacity": job.capacity if target is None else target.capacity,
            "offers": selected.offers,
            "volume_gib": selected.volume_gib,
            "highest": selected.highest,
            "expected_cost_usd": _cost_usd(job, selected.offers[0].price_usd_hour)
            if selected.offers
            else None,
            "notes": (*job.notes, *selected.notes),
        }
    )


def replace_jobs(plan: ExecutionPlan, jobs: Mapping[str, PlannedJob]) -> ExecutionPlan:
    """Return a plan with some jobs replaced, by name."""
    startable = dict(plan.startable)
    for job in jobs.values():
        known = {offer.instance_type: offer for offer in startable.get(job.target, ())}
        known.update((offer.instance_type, offer) for offer in job.offers)
        startable[job.target] = tuple(known.values())
    return plan.model_copy(
        update={
            "jobs": tuple(jobs.get(job.name, job) for job in plan.jobs),
            "startable": startable,
        }
    )


def _cost_usd(job: PlannedJob, price_usd_hour: float | None) -> float | None:
    if job.expected_s is None or price_usd_hour is None:
        return None
    return price_usd_hour * job.expected_s / 3600
