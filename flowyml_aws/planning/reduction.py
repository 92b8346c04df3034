"""Transitive reduction of a graph: the fewest edges between the same ancestors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import or_

__all__ = ["transitive_reduction"]

_STRIDE = 32  # nodes of a chain for each stored mask


def transitive_reduction(parents: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Return the fewest parents with the same ancestors, for nodes in topological order.

    Nodes with equal sets of parents share one tuple.
    """
    positions = {name: position for position, name in enumerate(parents)}
    order = list(parents)
    ancestors = _Ancestors()
    known: dict[frozenset[str], tuple[Sequence[int], tuple[str, ...], int | None]] = {}
    reduced = {}
    for name, direct in parents.items():
        key = frozenset(direct)
        if key not in known:
            places = sorted(map(positions.__getitem__, key))
            kept, mask = ancestors.without_others(places)
            known[key] = kept, tuple(order[place] for place in kept), mask
        kept, reduced[name], mask = known[key]
        ancestors.add(kept, mask)
    return reduced


class _Ancestors:
    """The ancestors of nodes that are added in topological order, as bit masks of positions.

    A mask takes a bit for each earlier node, so a node with one parent gets one only if needed.
    """

    def __init__(self) -> None:
        self._parents: list[Sequence[int]] = []
        self._masks: dict[int, int] = {}

    def without_others(self, parents: Sequence[int]) -> tuple[Sequence[int], int | None]:
        """Return the parents without ancestors of other parents, and the mask of all ancestors.

        The mask is None for less than two parents.
        """
        if len(parents) < 2:
            return parents, None
        above = reduce(or_, map(self._of, parents))
        kept = [parent for parent in parents if not above >> parent & 1] if above else parents
        return kept, reduce(or_, (1 << parent for parent in kept), above)

    def add(self, parents: Sequence[int], mask: int | None) -> None:
        """Add the next node, with the result of `without_others` for its parents."""
        if mask is not None:
            self._masks[len(self._parents)] = mask
        self._parents.append(parents)

    def _of(self, node: int) -> int:
        chain = []
        while node not in self._masks and self._parents[node]:
            chain.append(node)
            (node,) = self._parents[node]
        mask = self._masks.get(node, 0)
        for length, below in enumerate(reversed(chain), 1):
            mask |= 1 << self._parents[below][0]
            # Other nodes may have the same chain above them.
            if length % _STRIDE == 0 or length == len(chain):
                self._masks[below] = mask
        return mask
