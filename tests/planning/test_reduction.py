"""Transitive reduction."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.planning.reduction import transitive_reduction


@st.composite
def acyclic_graphs(draw: st.DrawFn) -> dict[str, set[str]]:
    size = draw(st.integers(1, 9))
    return {str(node): {str(p) for p in range(node) if draw(st.booleans())} for node in range(size)}


def ancestors(parents: dict[str, set[str]]) -> dict[str, set[str]]:
    all_ancestors: dict[str, set[str]] = {}
    for node, direct in parents.items():
        all_ancestors[node] = set(direct).union(*(all_ancestors[parent] for parent in direct))
    return all_ancestors


@given(acyclic_graphs())
def test_the_reduction_keeps_all_ancestors_but_no_redundant_parent(
    parents: dict[str, set[str]],
) -> None:
    reduced = {node: set(kept) for node, kept in transitive_reduction(parents).items()}
    assert ancestors(reduced) == ancestors(parents)
    all_ancestors = ancestors(parents)
    for kept in reduced.values():
        assert not any(parent in all_ancestors[other] for parent in kept for other in kept)


def test_the_ends_of_long_chains_keep_only_the_last_of_each() -> None:
    trunk = {str(n): {str(n - 1)} if n else set[str]() for n in range(100)}
    left = {f"l{n}": {f"l{n - 1}" if n else "70"} for n in range(50)}
    right = {f"r{n}": {f"r{n - 1}" if n else "90"} for n in range(50)}
    ends = {"end": {"l49", "70", "3"}, "both": {"l49", "r49", "90", "64", "0", "l10"}}
    reduced = transitive_reduction({**trunk, **left, **right, **ends})
    assert reduced["end"] == ("l49",)
    assert reduced["both"] == ("l49", "r49")


def test_nodes_with_the_same_parents_share_the_result() -> None:
    above = {str(n): set[str]() for n in range(3)}
    reduced = transitive_reduction({**above, "a": set(above), "b": set(above)})
    assert reduced["a"] == ("0", "1", "2")
    assert reduced["b"] is reduced["a"]
