"""The comparison of two runs in a page."""

from __future__ import annotations

from flowyml_aws.report.comparison import MAX_COMPARED, comparison_entry, comparison_sheets
from flowyml_aws.report.data import ComparedEntry, ComparisonEntry, RunReport
from flowyml_aws.report.page import to_html
from flowyml_aws.submission.compare import Kind, compare
from tests.report.test_page import Tags, table_rows
from tests.support.reports import a_comparison, a_report


def test_differences_and_all_figures_are_shown_and_what_is_equal_is_counted() -> None:
    sheets = [table.sheet for table in comparison_sheets(comparison_entry(a_comparison()))]
    tables = {sheet.title: sheet.rows for sheet in sheets[1:-1]}
    assert tables == {
        "parameters": [("learning_rate", "0.02", "0.01", "changed")],
        "packages": [("numpy", "2.1.0", "2.2.0", "changed")],
        "metrics": [("prepare  loss", "0.5", "0.25", "-50.0 %")],
        "time": [("prepare", "60.0 s", "60.0 s", "")],
        "cost": [("prepare", "$0.00120", "$0.00120", "")],
    }
    assert [row[1] for row in sheets[0].rows] == [
        "forecast-20261121-090000-aaaaaa",
        "forecast-20261122-150531-3f9a1c",
    ]
    assert sheets[-1].lines == ("The same in both runs: code 1, inputs 1.",)


def test_equal_runs_have_no_differences() -> None:
    run = a_comparison().first
    assert comparison_sheets(comparison_entry(compare(run, run)))[-1].sheet.lines == (
        "No differences.",
        "The same in both runs: parameters 1, code 1, packages 1, inputs 1.",
    )


def test_a_page_has_the_comparison_and_the_command_for_more() -> None:
    entry = comparison_entry(a_comparison())
    many = tuple(
        ComparedEntry(kind=Kind.PACKAGE, step=None, name=f"p{i}", first="1", second="2")
        for i in range(MAX_COMPARED + 7)
    )
    entry = entry.model_copy(update={"values": many, "notes": ("a note",)})
    report = a_report(2, log_lines=1).model_copy(update={"comparison": entry})
    page = to_html(report)
    text = " ".join(Tags(page).text.split())
    assert (
        "7 more rows: flowyml-aws compare forecast-20261121-090000-aaaaaa "
        "forecast-20261122-150531-3f9a1c"
    ) in text
    assert [row[0] for row in table_rows(page) if "changed" in row] == [f"p{i}" for i in range(100)]
    assert "a note" in text
    assert 'href="#comparison"' in page
    assert 'href="#comparison"' not in to_html(a_report(2, log_lines=1))


def test_the_figures_contain_the_comparison() -> None:
    entry: ComparisonEntry = comparison_entry(a_comparison())
    report = a_report(2, log_lines=1, periods=0).model_copy(update={"comparison": entry})
    assert RunReport.model_validate_json(report.to_json()).comparison == entry
