"""Names of assets and steps in cache keys.

A key has the names of the declaration of its step: those of the mapped step for an item, and those
of the sub-pipeline for a step of a sub-pipeline. So neither the position in a list nor the place
and the name of a sub-pipeline count.
"""

from __future__ import annotations

from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.maps import declared_name
from flowyml_aws.core.shared_assets import asset_of_branch
from flowyml_aws.core.step import Scope, Step

__all__ = ["AFTER", "key_label"]

AFTER = "after:"
"""Prefix of steps in the identities of assets: the step waits for them."""


def key_label(graph: StepGraph, asset: str, reader: Step) -> str:
    """Return the name of an asset in the cache key of a step that reads it.

    Args:
        graph: Graph of the steps.
        asset: The asset, or `after:NAME` for a step that the reader waits for.
        reader: The step.
    """
    label, scope = graph.label(asset, reader), reader.declared.scope
    if scope is None:
        return label
    if label.startswith(AFTER):
        return AFTER + _relative(label.removeprefix(AFTER), scope.path)
    mapping = reader.declared.mapping
    if label != asset and mapping is not None and label in mapping.parameters:
        return label  # a value of the item's row
    shared, separator, producer = label.rpartition(":")
    is_own = label in scope.own_names
    if separator and producer in graph.bound and not is_own:  # an asset of several branches
        return asset_of_branch(_own_name(shared, scope), _relative(producer, scope.path))
    return _own_name(label, scope)


def _own_name(asset: str, scope: Scope) -> str:
    """Return the name of an asset in a sub-pipeline, also of an item or a part of it."""
    if asset in scope.own_names:
        return scope.own_names[asset]
    whole = declared_name(asset)
    return scope.own_names.get(whole, whole) + asset.removeprefix(whole)


def _relative(step: str, path: str) -> str:
    """Return the name of a step as seen from a sub-pipeline: `../load` for one around it."""
    ups = ""
    while not step.startswith(f"{path}/"):
        path, ups = path.rpartition("/")[0], f"../{ups}"
        if not path:
            return ups + step
    return ups + step.removeprefix(f"{path}/")
