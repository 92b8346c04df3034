"""Parts of maps over lists that an earlier job of the run has produced.

The spec of a job contains each part as one step. Before its steps run, the job reads the lists,
and replaces each part by a step for each item, followed by the part itself, which then stores the
lists of the items' outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from flowyml_aws.artifacts.list_index import ListIndex, ListItem
from flowyml_aws.core.errors import ListMismatchError
from flowyml_aws.core.maps import declared_name, is_list, item_name, slice_of_part
from flowyml_aws.runtime.spec import AssetSource, JobSpec, StepPart, StepSpec

__all__ = [
    "check_list",
    "expand_parts",
    "lists_to_read",
    "outputs_of_part",
    "positions_to_read",
]


def lists_to_read(spec: JobSpec) -> tuple[str, ...]:
    """Return the assets of other jobs that the parts of a job map over."""
    parts = (step.part for step in spec.steps if step.part is not None)
    return tuple(
        dict.fromkeys(asset for part in parts for asset in part.lists if asset in spec.assets)
    )


def positions_to_read(spec: JobSpec, asset: str, length: int) -> list[int]:
    """Return the positions of the items of a whole list that the parts of a job take."""
    slices = {
        slice_of_part(step.part.number, step.part.count, length)
        for step in spec.steps
        if step.part is not None and step.part.lists.get(asset) == asset
    }
    return sorted({position for positions in slices for position in positions})


def expand_parts(spec: JobSpec, lists: Mapping[str, ListIndex]) -> JobSpec:
    """Return a spec with a step for each item of the parts, item by item.

    A part whose list does not exist remains as it is; the runner skips it.

    Args:
        spec: Spec of a job.
        lists: Indexes of the lists of other jobs that exist, by asset.

    Raises:
        ListMismatchError: A step maps over lists of different lengths.
    """
    known = dict(lists)
    sources: dict[str, AssetSource] = {}
    steps: list[StepSpec] = []
    for number, group in groupby(spec.steps, key=_number):
        if number is None:
            steps += group
            continue
        parts = [_with_items(step, known) for step in group]
        taken = [(step, set(_positions(step))) for step in parts]
        for position in sorted({p for _, positions in taken for p in positions}):
            steps += (_item(step, position) for step, own in taken if position in own)
        steps += parts
    for step in steps:
        if step.part is not None:
            sources.update(_sources(step.part, lists))
    return spec.model_copy(update={"steps": tuple(steps), "assets": {**spec.assets, **sources}})


def check_list(asset: str, value: Any) -> None:
    """Check that a value is a list, if a step maps over it.

    Raises:
        ListMismatchError: It is not a list.
    """
    if not is_list(value):
        raise ListMismatchError(
            what=f"{asset!r} is a {type(value).__name__}, not a list",
            why="another step of the pipeline maps over it",
            fix="return a list of the items",
        )


def outputs_of_part(step: StepSpec, position: int) -> dict[str, str]:
    """Return the asset that an item has for each output of its part."""
    return {asset: item_name(declared_name(asset), position) for asset in step.outputs}


def _number(step: StepSpec) -> tuple[int, int] | None:
    return None if step.part is None else (step.part.number, step.part.count)


def _positions(step: StepSpec) -> Sequence[int]:
    return () if step.part is None or step.part.positions is None else step.part.positions


def _with_items(step: StepSpec, known: dict[str, ListIndex]) -> StepSpec:
    """Return a part with its positions, if its lists exist, and add its outputs to the lists."""
    part = step.part
    assert part is not None
    if not part.lists.keys() <= known.keys():
        return step
    lists = {asset: known[asset] for asset in part.lists}
    lengths = {part.lists[asset]: stored.length for asset, stored in lists.items()}
    if len(set(lengths.values())) > 1:
        raise ListMismatchError(
            what=f"Step {step.function!r} can't map over lists of different lengths",
            why=", ".join(f"{name} has {length} items" for name, length in lengths.items()),
            fix="produce lists of the same length, or map over them in different steps",
        )
    length = next(iter(lengths.values()))
    positions = tuple(slice_of_part(part.number, part.count, length))
    index = ListIndex(
        length=length, items=tuple(ListItem(position=position) for position in positions)
    )
    known.update(dict.fromkeys(step.outputs, index))
    return step.model_copy(
        update={"part": part.model_copy(update={"length": length, "positions": positions})}
    )


def _item(step: StepSpec, position: int) -> StepSpec:
    """Return the step of an item of a part. All its outputs are stored, as its key needs them."""
    assert step.part is not None
    names = {asset: item_name(name, position) for asset, name in step.part.lists.items()}
    outputs = tuple(outputs_of_part(step, position).values())
    cache = step.cache
    if cache is not None:
        read = {names.get(a, a): None if a in names else i for a, i in cache.assets.items()}
        labels = {a: label for a, label in cache.labels.items() if a not in names}
        own_names = step.own_names
        labels.update((names[asset], own_names.get(a, a)) for asset, a in step.part.lists.items())
        cache = cache.model_copy(update={"assets": read, "labels": labels})
    return step.model_copy(
        update={
            "name": item_name(step.function, position),
            "reads": tuple(names.get(asset, asset) for asset in step.reads),
            "arguments": step.arguments.with_assets(names),
            "condition": None if step.condition is None else step.condition.with_assets(names),
            "outputs": outputs,
            "stored": outputs,
            "cache": cache,
            "part": None,
        }
    )


def _sources(part: StepPart, lists: Mapping[str, ListIndex]) -> Iterable[tuple[str, AssetSource]]:
    """Yield the items that a part reads from the lists of other jobs."""
    positions = set(part.positions or ())
    for asset, name in part.lists.items():
        if asset not in lists:
            continue
        for item in lists[asset].items:
            if item.position in positions:
                source = AssetSource(ref=item.ref, absent=item.absent, dropped=item.dropped)
                yield item_name(name, item.position), source
