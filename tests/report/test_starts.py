"""The table of the starts of jobs."""

from __future__ import annotations

from flowyml_aws.report.data import JobEntry
from flowyml_aws.report.starts import known_seconds, start_sheet
from flowyml_aws.submission.starts import JobStart, StartKind, StartPart
from tests.support.reports import a_report

UNSPLIT = StartPart(kinds=(StartKind.QUEUE, StartKind.INSTANCE, StartKind.IMAGE), seconds=85)
RUNNER = tuple(
    StartPart(kinds=(kind,), seconds=0.5) for kind in StartKind if kind not in UNSPLIT.kinds
)
WHOLE = JobStart(parts=(UNSPLIT, *RUNNER), is_whole=True)
OPEN = JobStart(
    parts=(StartPart(kinds=(StartKind.QUEUE,), seconds=7),), absent=(StartKind.INSTANCE,)
)


def jobs(*starts: JobStart | None) -> list[JobEntry]:
    found = a_report(4, log_lines=1, periods=0).jobs[: len(starts)]
    pairs = zip(found, starts, strict=True)
    return [job.model_copy(update={"start": start}) for job, start in pairs]


def test_what_is_not_reported_is_unknown_and_what_was_not_needed_a_dash() -> None:
    sheet = start_sheet(jobs(OPEN, WHOLE), 100)
    assert sheet is not None
    assert sheet.columns[:3] == ("Job", "Total", "Queue")
    assert [row[1:] for row in sheet.rows] == [
        ("87.5 s", "85.0 s, with instance, image", "unknown", "unknown", *["500 ms"] * 5),
        ("unknown", "7.0 s", "–", *["unknown"] * 6),
    ]
    assert sheet.lines == ()


def test_a_large_run_has_the_slowest_starts_and_the_median() -> None:
    fast = WHOLE.model_copy(update={"parts": RUNNER})
    sheet = start_sheet(jobs(fast, WHOLE, fast, None), 1)
    assert sheet is not None and [row[1] for row in sheet.rows] == ["87.5 s"]
    assert sheet.lines == (
        "Median of 3 jobs: 2.5 s.",
        "2 more jobs have started, most of them faster.",
    )


def test_a_run_without_a_start_has_no_table() -> None:
    assert start_sheet(jobs(None), 100) is None


def test_only_a_time_of_its_own_is_a_figure() -> None:
    assert known_seconds(WHOLE, StartKind.QUEUE) is None
    assert known_seconds(WHOLE, StartKind.IMPORTS) == 0.5
    assert known_seconds(OPEN, StartKind.INSTANCE) == 0
    assert known_seconds(OPEN, StartKind.IMAGE) is None
    assert known_seconds(None, StartKind.QUEUE) is None
