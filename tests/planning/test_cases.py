"""Highest sums and times over the cases of decisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.core.branches import Branch
from flowyml_aws.planning.cases import ALWAYS, Cases, highest_end, highest_sum


def when(*chosen: str) -> Cases:
    """Return cases of decisions: `a1` is the case `1` of the decision `a`."""
    return frozenset(Branch(each[0], each[1]) for each in chosen)


def test_the_case_with_the_higher_amount_counts() -> None:
    assert highest_sum([(ALWAYS, 1), (when("a1"), 2), (when("a2"), 5), (when("a2"), 1)]) == 7


def test_cases_of_different_decisions_are_added() -> None:
    assert highest_sum([(when("a1"), 2), (when("b1"), 3), (when("b2"), 4)]) == 6


def test_a_nested_decision_counts_only_with_the_case_around_it() -> None:
    nested = [(when("a1", "b1"), 7), (when("a1", "b2"), 8)]
    assert highest_sum([(when("a1"), 1), *nested, (when("a2"), 4)]) == 9
    assert highest_sum([(when("a1"), 1), *nested, (when("a2"), 10)]) == 10


def test_what_needs_two_cases_of_one_decision_never_counts() -> None:
    assert highest_sum([(when("a1", "a2"), 9), (when("a1"), 1)]) == 1


def test_many_decisions_have_an_upper_bound() -> None:
    letters = [chr(ord("a") + number) for number in range(20)]
    alone = [(when(f"{each}{case}"), 1.0) for each in letters for case in "12"]
    assert highest_sum(alone) == 20
    pairs = [(when(f"{a}{n}", f"{b}{n}"), 1.0) for a, b in product(letters, letters) for n in "12"]
    assert highest_sum(pairs) >= 400


def test_the_slower_branch_counts_for_the_end() -> None:
    times = [{ALWAYS: 10.0}, {when("a1"): 5.0}, {when("a2"): 7.0}, {ALWAYS: 1.0}]
    assert highest_end(times, [(), (0,), (0,), (1, 2)]) == 18


def test_a_path_through_two_branches_of_one_decision_never_counts() -> None:
    times = [{when("a1"): 5.0}, {when("a2"): 7.0}, {when("a1"): 4.0}]
    assert highest_end(times, [(), (0,), (1,)]) == 9


def test_steps_of_two_branches_in_one_job_are_not_added() -> None:
    job = {ALWAYS: 1.0, when("a1"): 5.0, when("a2"): 7.0}
    assert highest_end([job, job], [(), (0,)]) == 16


CASES = st.frozensets(st.sampled_from([Branch(d, c) for d in "abc" for c in "12"]), max_size=3)


def choices() -> Iterator[Cases]:
    for case_of in product("12", repeat=3):
        yield frozenset(map(Branch, "abc", case_of))


@given(
    st.lists(
        st.tuples(st.dictionaries(CASES, st.integers(0, 9), max_size=3), st.sets(st.integers(0, 5)))
    )
)
def test_sums_and_ends_are_those_of_the_worst_choice(
    jobs: Sequence[tuple[dict[Cases, int], set[int]]],
) -> None:
    parents = [{p for p in before if p < number} for number, (_, before) in enumerate(jobs)]
    sums, all_ends = [0], [0]
    for chosen in choices():
        times = [sum(t for cases, t in own.items() if cases <= chosen) for own, _ in jobs]
        ends: list[int] = []
        for seconds, before in zip(times, parents, strict=True):
            ends.append(seconds + max((ends[p] for p in before), default=0))
        sums.append(sum(times))
        all_ends += ends
    assert highest_sum(item for own, _ in jobs for item in own.items()) == max(sums)
    assert highest_end([own for own, _ in jobs], parents) == max(all_ends)
