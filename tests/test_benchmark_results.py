"""Results of benchmarks: ratios, their comparison, and the figures of documents."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.__main__ import run_all
from benchmarks._comparison import Verdict, compare, lines
from benchmarks._figures import UnknownFigureError, fill
from benchmarks._results import Machine, Result, Results, Row, Spread, TargetResult, row
from benchmarks._table import number, ratio, to_markdown

MACHINE = Machine(
    cpu="Fast 9000",
    cores=2,
    memory_gib=24.0,
    kernel="Linux 6.1",
    python="3.11.7",
    packages={"boto3": "1.40"},
)


def results(
    *rows: Row, machine: Machine = MACHINE, targets: Sequence[TargetResult] = ()
) -> Results:
    result = Result(
        measured_on="2026-01-31",
        machine=machine,
        rows=rows,
        targets=tuple(targets),
        notes=("on one machine",),
    )
    return Results(benchmarks={"artifacts": result})


def saving(values: Sequence[float], others: Sequence[float] = (1.0, 1.0, 1.0, 1.0)) -> Results:
    return results(row("save", "s", values, {"boto3": others}))


def verdicts(before: Results, after: Results) -> list[Verdict]:
    return [change.verdict for change in compare(before, after).changes]


# Spread and ratios.


def test_the_spread_is_the_quartiles_or_the_ends_of_few_repetitions() -> None:
    assert Spread.of([5.0, 1.0, 2.0, 3.0, 4.0]) == Spread(median=3, low=2, high=4, repetitions=5)
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(median=2, low=1, high=3, repetitions=3)


def test_a_ratio_is_the_median_of_the_ratios_within_each_round() -> None:
    # In the slow round, both take ten times as long.
    measured = row("save", "s", [1.0, 20.0, 3.0], {"boto3": [1.0, 10.0, 1.0]})
    assert measured.value.median == 3.0
    assert measured.ratios["boto3"].median == 2.0


def test_a_reference_of_the_first_round_only_is_compared_in_that_round() -> None:
    measured = row("save", "s", [1.0, 50.0, 50.0], {"metaflow": [4.0]})
    assert measured.ratios["metaflow"] == Spread(median=0.25, low=0.25, high=0.25, repetitions=1)


def test_a_number_is_the_reference_of_all_rounds() -> None:
    assert row("calls", "calls", [10, 20], {"jobs": 10}).ratios["jobs"].median == 1.5


# The comparison.


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        ([1.0, 1.0, 1.0, 1.0], Verdict.UNCHANGED),
        ([1.14, 1.14, 1.14, 1.14], Verdict.UNCHANGED),
        ([1.16, 1.17, 1.18, 1.19], Verdict.WORSE),
        ([0.8, 0.81, 0.82, 0.83], Verdict.BETTER),
        ([0.9, 0.95, 1.6, 1.7], Verdict.NOISE),
    ],
)
def test_a_ratio_that_moved_by_more_than_15_percent_is_better_or_worse_beyond_the_noise(
    after: list[float], verdict: Verdict
) -> None:
    assert verdicts(saving([1.0, 1.0, 1.0, 1.0]), saving(after)) == [verdict]


def test_a_slower_machine_changes_nothing() -> None:
    before, after = saving([1.0] * 4), saving([3.0] * 4, [3.0] * 4)
    assert verdicts(before, after) == [Verdict.UNCHANGED]


def test_each_reference_is_compared() -> None:
    before = results(row("save", "s", [1.0], {"boto3": [1.0], "metaflow": [10.0]}))
    after = results(row("save", "s", [1.0], {"boto3": [1.0], "metaflow": [5.0]}))
    assert verdicts(before, after) == [Verdict.UNCHANGED, Verdict.WORSE]


def test_growth_from_zero_is_worse() -> None:
    before = results(row("jobs", "jobs", [0], {"groups": 10}))
    after = results(row("jobs", "jobs", [1], {"groups": 10}))
    assert verdicts(before, after) == [Verdict.WORSE]
    assert compare(before, after).is_worse
    assert verdicts(before, before) == [Verdict.UNCHANGED]


def test_rows_without_a_shared_reference_are_listed_and_not_compared() -> None:
    before = results(row("boto3", "s", [1.0]), row("old", "s", [1.0]))
    after = results(row("boto3", "s", [9.0]), row("new", "s", [1.0]))
    comparison = compare(before, after)
    assert comparison.changes == ()
    assert comparison.without_ratio == ("artifacts: boto3",)
    assert comparison.only_before == ("artifacts: old",)
    assert comparison.only_after == ("artifacts: new",)
    assert not comparison.is_worse


def test_a_benchmark_that_did_not_run_is_not_compared() -> None:
    assert compare(saving([1.0]), Results()).only_before == ()


def test_lines_show_the_worst_first_with_both_spreads() -> None:
    before = results(
        row("load", "s", [2.0] * 4, {"boto3": 1.0}), row("save", "s", [1.0] * 4, {"boto3": 1.0})
    )
    after = results(
        row("load", "s", [1.0] * 4, {"boto3": 1.0}),
        row("save", "s", [2.0, 2.0, 3.0, 3.0], {"boto3": 1.0}),
    )
    assert list(lines(before, after)) == [
        "worse: artifacts: save, relative to boto3: 1 (1 to 1) → 2.5 (2 to 3), +150%",
        "better: artifacts: load, relative to boto3: 2 (2 to 2) → 1 (1 to 1), -50%",
        "0 ratios moved by at most 15%",
    ]


def test_a_change_of_few_repetitions_is_marked_because_its_noise_is_unknown() -> None:
    (line, _) = lines(saving([1.0]), saving([2.0]))
    assert line.endswith("1 → 2, +100%; few repetitions, noise unknown")


def test_a_change_of_the_machine_or_of_a_product_is_noted() -> None:
    other = MACHINE.model_copy(update={"cores": 4, "packages": {"boto3": "1.41", "torch": "2.9"}})
    moved = results(row("save", "s", [1.0], {"boto3": 1.0}), machine=other)
    (note, _) = lines(saving([1.0], [1.0]), moved)
    assert note == (
        "note: artifacts was measured on a different machine: "
        "cores 2 → 4, boto3 1.40 → 1.41, torch None → 2.9"
    )


# The table.


def test_an_update_replaces_only_the_rows_of_the_benchmarks_that_ran() -> None:
    other = saving([7.0]).benchmarks["artifacts"]
    both = saving([1.0]).update({"startup": other})
    assert list(both.benchmarks) == ["artifacts", "startup"]
    again = both.update({"artifacts": other})
    assert again.benchmarks["artifacts"] == again.benchmarks["startup"] == other


def test_results_are_the_same_after_json() -> None:
    before = saving([1.0, 2.0, 3.0])
    assert Results.model_validate_json(before.model_dump_json()) == before


def test_the_page_shows_machine_targets_values_ratios_and_spread() -> None:
    missed = TargetResult(what="memory", measured=200, at_most=128, unit="MiB", met=False)
    page = to_markdown(
        results(row("save", "s", [1.0, 2.0, 4.0], {"boto3": [1.0, 1.0, 1.0]}), targets=[missed])
    )
    assert "Fast 9000, 2 cores, 24 GiB of memory, Linux 6.1, Python 3.11.7, boto3 1.40" in page
    assert "| artifacts | memory | 200 MiB | 128 | **missed** |" in page
    assert "| artifacts | save | 2 s (1 s to 4 s) | 2.00 × boto3 (1 to 4) | 3 |" in page
    assert "- artifacts: on one machine" in page


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.000412, "s", "0.41 ms"),
        (0.22, "s", "0.22 s"),
        (10147, "calls", "10,147 calls"),
        (0, "calls", "0 calls"),
        (184.6, "MiB", "185 MiB"),
        (0.94, "MB", "0.94 MB"),
    ],
)
def test_numbers_have_two_digits_and_all_digits_of_counts(
    value: float, unit: str, text: str
) -> None:
    assert number(value, unit) == text


@pytest.mark.parametrize(("value", "text"), [(0.0035, "0.0035"), (0.7, "0.70"), (1.3, "1.30")])
def test_ratios_have_two_digits(value: float, text: str) -> None:
    assert ratio(value) == text


# Figures of documents.

MEASURED = results(row("save, 2 MiB", "s", [0.5, 0.6, 0.7], {"import boto3": [1.0, 1.0, 1.0]}))


@pytest.mark.parametrize(
    ("source", "figure"),
    [
        ("artifacts: save, 2 MiB", "0.6 s"),
        ("artifacts: save, 2 MiB / import boto3", "0.60"),
        ("best artifacts: save, 2 MiB / import boto3", "0.50"),
        ("worst artifacts: save, 2 MiB", "0.7 s"),
    ],
)
def test_a_marked_figure_is_replaced_and_keeps_its_marks(source: str, figure: str) -> None:
    document = f"It takes <!--bench {source}-->old<!--/bench--> of the time."
    filled = fill(document, MEASURED, ["artifacts"])
    assert filled == document.replace("old", figure)
    assert fill(filled, MEASURED, ["artifacts"]) == filled


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("<!--bench other: save-->1<!--/bench-->", "no such program, expected artifacts"),
        ("<!--bench artifacts: load-->1<!--/bench-->", "no such row; artifacts has: save, 2 MiB"),
        ("<!--bench artifacts: save, 2 MiB / x-->1<!--/bench-->", "the row has: import boto3"),
        ("<!--bench artifacts: save, 2 MiB-->1", "no end"),
    ],
)
def test_a_figure_without_a_row_or_an_end_is_an_error(document: str, message: str) -> None:
    with pytest.raises(UnknownFigureError, match=re.escape(message)):
        fill(document, MEASURED, ["artifacts"])


def test_a_figure_of_a_program_without_results_is_not_measured() -> None:
    document = "<!--bench artifacts: save-->0.5 s<!--/bench-->"
    assert "-->not measured<!--" in fill(document, Results(), ["artifacts"])


# The programs.


@pytest.mark.contract
def test_all_programs_run_after_one_that_fails_and_one_that_misses_a_target(
    tmp_path: Path,
) -> None:
    result = saving([1.0]).benchmarks["artifacts"]
    document = result.model_dump_json()[:-1] + ', "numbers": {}}'
    write = f"import sys; open(sys.argv[2], 'w').write({document!r}); sys.exit(1)"
    sources = {"broken": "raise SystemExit(1)", "missed": write, "later": write}
    programs = [tmp_path / f"{name}.py" for name in sources]
    for program, source in zip(programs, sources.values(), strict=True):
        program.write_text(source, "utf-8")
    assert run_all(programs, []) == ({"missed": result, "later": result}, programs[:1])
