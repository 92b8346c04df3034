"""Targets of training jobs: from the settings, or every type that SageMaker offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from flowyml_aws.catalog.types import Catalog
from flowyml_aws.planning.targets import Target, offline_targets
from flowyml_aws.services.sagemaker.traits import TRAITS
from flowyml_aws.settings.model import Settings
from flowyml_aws.settings.targets import as_target, settings_of_service

__all__ = ["training_targets", "without_types"]


def training_targets(settings: Settings, catalog: Catalog) -> Sequence[Target]:
    """Return the configured targets, or one with every type that SageMaker offers.

    If the settings prefer spot capacity, it comes first; a job can still require on-demand.
    """
    configured = settings_of_service(TRAITS.name, settings.targets)
    if configured:
        return [as_target(target, catalog) for target in configured]
    (all_types,) = offline_targets(catalog, TRAITS.name)
    on_demand = replace(all_types, name=TRAITS.name)
    if not settings.sagemaker_spot:
        return [on_demand]
    return [replace(all_types, name=f"{TRAITS.name}-spot", capacity="spot"), on_demand]


def without_types(target: Target, closed: Mapping[str, str], catalog: Catalog) -> Target:
    """Return a target without some instance types.

    Args:
        target: Target of training jobs, with names of SageMaker or EC2.
        closed: Reasons by SageMaker's name of each type to leave out.
        catalog: Catalog of instance types.
    """
    types, left_out = [], {}
    for name in target.instance_types:
        instance = catalog.get(name)
        hosted_name = None if instance is None else instance.sagemaker_name
        if hosted_name is not None and hosted_name in closed:
            left_out[hosted_name] = closed[hosted_name]
        else:
            types.append(name)
    return replace(target, instance_types=tuple(types), closed={**target.closed, **left_out})
