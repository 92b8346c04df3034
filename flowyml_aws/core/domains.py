"""Domains of mapped steps: which of them run for the same items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flowyml_aws.core.step import Step

__all__ = ["Place", "find_places"]


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a mapped step among the mapped steps of a pipeline.

    Attributes:
        domain: Number of the domain. All its steps have the same items.
        stage: Number of times that steps before it in the domain need all items at once. Steps
            of one stage can run item by item.
    """

    domain: int
    stage: int


def find_places(
    steps: Sequence[Step], reads: Mapping[str, Sequence[str]], producers: Mapping[str, str]
) -> dict[str, Place]:
    """Return the place of each mapped step.

    Steps that map over the same list, or over an output of the other, are in one domain, as are
    those that a step connects which maps over several of their lists.

    Args:
        steps: Steps in running order.
        reads: Assets that each step reads.
        producers: Asset → the step that produces it.
    """
    mapped = {step.name: step.mapping for step in steps if step.mapping is not None}
    parents: dict[tuple[str, str], tuple[str, str]] = {}

    def find(node: tuple[str, str]) -> tuple[str, str]:
        while (parent := parents.setdefault(node, node)) != node:
            node = parent
        return node

    for name, mapping in mapped.items():
        for asset in mapping.over:
            producer = producers.get(asset)
            source = ("step", producer) if producer in mapped and producer else ("list", asset)
            parents[find(source)] = find(("step", name))
    numbers: dict[tuple[str, str], int] = {}
    places: dict[str, Place] = {}
    for name, mapping in mapped.items():
        domain = numbers.setdefault(find(("step", name)), len(numbers))
        stage = 0
        for asset in reads[name]:
            before = places.get(producers.get(asset, ""))
            if before is not None and before.domain == domain:
                stage = max(stage, before.stage + (asset not in mapping.over))
        places[name] = Place(domain, stage)
    return places
