"""Names under which the stored values of a run are found: assets, steps, and lists of maps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from flowyml_aws.core.maps import declared_name
from flowyml_aws.core.shared_assets import shared_name
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.map_progress import MapProgress
from flowyml_aws.submission.missing_output import produced_assets
from flowyml_aws.submission.status import RunStatus

__all__ = ["ListedAsset", "OutputNames", "listed_assets", "output_names"]


@dataclass(frozen=True, slots=True)
class ListedAsset:
    """An asset as lists of outputs show it: that of a mapped step is one.

    An asset of several branches has the name that they share.

    Attributes:
        stored: Assets with stored values: its own name, or those of items, in order.
        items: Number of items of the map; None for the asset of a step that is not mapped.
    """

    asset: str
    step: str
    stored: tuple[str, ...]
    items: int | None = None


@dataclass(frozen=True, slots=True)
class OutputNames:
    """Names of stored values.

    Attributes:
        values: Assets of each name: of an asset, a step, or an item.
        lists: Assets of the items of each name of a mapped step and its assets, by asset. Items
            that were dropped or skipped are left out.
        listed: Names without those of items: assets, then steps.
        assets: Number of assets with stored values; all items of one count once.
    """

    values: Mapping[str, tuple[str, ...]]
    lists: Mapping[str, Mapping[str, tuple[str, ...]]]
    listed: tuple[str, ...]
    assets: int


def listed_assets(status: RunStatus, stored: Collection[str]) -> list[ListedAsset]:
    """Return the assets of a run that have stored values, in plan order.

    Args:
        status: Status of the run.
        stored: Assets that are stored.
    """
    step_of = {
        member: step for step, planned in status.maps.items() for member in planned.members(step)
    }
    found: dict[str, ListedAsset] = {}
    for step, assets in produced_assets(status).items():
        if step not in step_of:
            new = (
                ListedAsset(shared_name(asset, step) or asset, step, (asset,))
                for asset in assets
                if asset in stored
            )
            found.update((each.asset, each) for each in new)
            continue
        planned = status.maps[step_of[step]]
        for asset in planned.outputs:
            if asset not in found:
                members = planned.members(asset)
                existing = tuple(member for member in members if member in stored)
                found[asset] = ListedAsset(asset, step_of[step], existing, len(members))
    return [each for each in found.values() if each.stored]


def output_names(status: RunStatus, stored: Collection[str]) -> OutputNames:
    """Return the names under which the values of a run are found.

    A list exists if all its items are stored, except those that were dropped or skipped. It does
    not exist if all of them were.

    Args:
        status: Status of the run.
        stored: Assets that are stored.
    """
    values: dict[str, tuple[str, ...]] = {asset: (asset,) for asset in stored}
    of_branches: set[str] = set()
    for step, assets in produced_assets(status).items():
        shared = {asset: name for asset in assets if (name := shared_name(asset, step)) is not None}
        values.update((name, (asset,)) for asset, name in shared.items() if asset in stored)
        of_branches.update(shared)
        if assets and all(asset in stored for asset in assets):
            values.setdefault(step, assets)
    lists: dict[str, Mapping[str, tuple[str, ...]]] = {}
    of_items: set[str] = set()
    for name, progress in status.progress.items():
        planned = progress.planned
        for declared in (name, *planned.outputs):
            of_items.update(planned.members(declared))
        if planned.parts is not None:
            of_items.update(each for each in stored if declared_name(each) in planned.outputs)
        complete: dict[str, tuple[str, ...]] = {
            asset: items
            for asset in planned.outputs
            if (items := _complete(asset, progress, stored)) is not None
        }
        lists.update((asset, {asset: items}) for asset, items in complete.items())
        if complete and len(complete) == len(planned.outputs):
            lists.setdefault(name, complete)
    stored_assets = [each.asset for each in listed_assets(status, stored)]
    known = lists.keys() | (values.keys() - of_items - of_branches)
    listed = dict.fromkeys((*stored_assets, *values, *lists))
    names = tuple(name for name in listed if name in known)
    return OutputNames(values, lists, names, len(stored_assets))


def _complete(asset: str, progress: MapProgress, stored: Collection[str]) -> tuple[str, ...] | None:
    """Return the assets of the items that exist; None if one is missing, or all were left out."""
    if progress.planned.parts is not None:
        parts = progress.planned.members(asset)
        return parts if all(part in stored for part in parts) else None
    existing = []
    for name, item in zip(progress.planned.members(asset), progress.items, strict=False):
        if name in stored:
            existing.append(name)
        elif not item.is_dropped and item.report.state is not StepState.SKIPPED:
            return None
    return tuple(existing) if existing or not progress.planned.items else None
