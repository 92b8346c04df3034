"""Highest sums and times over the cases that the decisions of a run can choose.

An amount counts in the runs in which all of its cases are chosen. Of two cases of one decision, a
run has only one, so that their amounts are never added.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from flowyml_aws.core.branches import Branch

__all__ = ["ALWAYS", "Amounts", "Cases", "highest_end", "highest_sum"]

Cases = frozenset[Branch]
Amounts = Mapping[Cases, float]

ALWAYS: Cases = frozenset()

_MOST_COMBINATIONS = 256  # beyond, the cases are forgotten: all amounts that follow are added


def highest_sum(amounts: Iterable[tuple[Cases, float]]) -> float:
    """Return the highest sum of amounts that count in one run; none may be negative."""
    by_cases: dict[Cases, float] = {}
    for cases, amount in amounts:
        by_cases[cases] = by_cases.get(cases, 0.0) + amount
    # Decisions next to each other can be forgotten early.
    ordered = sorted(by_cases, key=lambda cases: sorted((b.decision, b.case) for b in cases))
    last_use = _last_use([[cases] for cases in ordered])
    sums: Amounts = {ALWAYS: 0.0}
    for number, cases in enumerate(ordered):
        sums = _added(sums, {cases: by_cases[cases]})
        sums = _without(sums, {name for name, last in last_use.items() if last <= number})
    return _highest(sums)


def highest_end(times: Sequence[Amounts], parents: Sequence[Iterable[int]]) -> float:
    """Return the latest end of activities that start after their parents, in the slowest run.

    An activity without a case that is chosen takes no time.

    Args:
        times: Time of each activity, in an order in which parents come first.
        parents: Positions of the parents of each activity.
    """
    last_use = _last_use(times)
    ends: list[Amounts] = []
    for number, (own, before) in enumerate(zip(times, parents, strict=True)):
        start: dict[Cases, float] = {ALWAYS: 0.0}
        for parent in before:
            for cases, end in ends[parent].items():
                start[cases] = max(end, start.get(cases, 0.0))
        end_of = _added(start, own)
        ends.append(_without(end_of, {name for name, last in last_use.items() if last <= number}))
    return max(map(_highest, ends), default=0.0)


def _highest(amounts: Amounts) -> float:
    """Return the highest of some amounts; 0 for none."""
    return max(amounts.values(), default=0.0)


def _last_use(amounts: Sequence[Iterable[Cases]]) -> dict[str, int]:
    """Return the last position at which each decision occurs."""
    return {
        branch.decision: number
        for number, each in enumerate(amounts)
        for cases in each
        for branch in cases
    }


def _added(sums: Amounts, amounts: Amounts) -> Amounts:
    """Return each sum with all amounts that can count with it."""
    for cases, amount in amounts.items():
        if not cases:
            sums = {each: total + amount for each, total in sums.items()}
            continue
        grown = dict(sums)
        for each, total in sums.items():
            together = each | cases
            if len({branch.decision for branch in together}) == len(together):
                grown[together] = max(total + amount, grown.get(together, 0.0))
        sums = grown
    if len(sums) > _MOST_COMBINATIONS:
        return {ALWAYS: _highest(sums)}
    return sums


def _without(sums: Amounts, decisions: set[str]) -> Amounts:
    """Return the highest sum for the cases of other decisions."""
    if len(sums) == 1 and ALWAYS in sums:
        return sums
    found: dict[Cases, float] = {}
    for cases, total in sums.items():
        remaining = frozenset(branch for branch in cases if branch.decision not in decisions)
        found[remaining] = max(total, found.get(remaining, 0.0))
    return found
