"""Logs, curves and graphs that are too large for a page."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.report.logs import log_ends, shorter_log
from flowyml_aws.report.outline import outline
from flowyml_aws.report.thinning import MAX_POINTS, fit_curves, fit_logs, thin_series
from flowyml_aws.runtime.usage import Series
from tests.support.reports import a_report


def test_a_short_log_is_complete() -> None:
    log = log_ends(["one", "two"])
    assert (log.head, log.tail, log.omitted_bytes) == ("one\ntwo", "", 0)


def test_a_long_log_keeps_whole_lines_of_both_ends() -> None:
    lines = [f"line {number}" for number in range(1000)]
    log = log_ends(lines, 100)
    assert log.head.startswith("line 0\nline 1\n")
    assert log.tail.endswith("\nline 998\nline 999")
    assert set(f"{log.head}\n{log.tail}".split("\n")) <= set(lines)
    assert len(log.head) + len(log.tail) + log.omitted_bytes == len("\n".join(lines))


def test_progress_bars_and_colours_are_removed_from_a_log() -> None:
    assert log_ends(["10%\r50%\r100%", "\x1b[31mred\x1b[0m", "crlf\r"]).head == "100%\nred\ncrlf"


@given(st.lists(st.text()), st.integers(1, 50), st.integers(1, 50))
def test_any_log_is_cut_to_its_ends(lines: list[str], size: int, smaller: int) -> None:
    log = log_ends(lines, size)
    assert len(log.head.encode()) + len(log.tail.encode()) <= 2 * size
    shorter = shorter_log(log, smaller)
    assert len(shorter.head.encode()) + len(shorter.tail.encode()) <= 2 * max(smaller, 0)
    assert shorter.omitted_bytes >= log.omitted_bytes


def test_thin_curves_keep_minimum_and_maximum() -> None:
    draw = random.Random(0)
    values = tuple(draw.random() for _ in range(5000))
    values = (*values[:2500], 99.0, -1.0, *values[2500:])
    thin = thin_series(Series(name="cpu_cores", low=values, high=values), MAX_POINTS)
    assert len(thin.low) == len(thin.high) == MAX_POINTS
    assert (min(thin.low), max(thin.high)) == (-1.0, 99.0)


def test_many_curves_get_fewer_points() -> None:
    report = a_report(300, log_lines=1)
    curves, points = fit_curves(report.jobs)
    assert 20 <= points < MAX_POINTS
    assert all(len(s.low) <= points for each in curves.values() for s in each.series)
    # The whole time is still covered.
    job = report.jobs[0]
    assert job.curves is not None
    before = job.curves.period_s * len(job.curves.series[0].low)
    after = curves[job.name].period_s * len(curves[job.name].series[0].low)
    assert abs(before - after) < 1e-6


def test_logs_of_failed_jobs_stay_longest() -> None:
    report = a_report(60, failed=True, log_lines=2000, periods=0)
    jobs, end_bytes = fit_logs(report.jobs)
    sizes = {job.name: len(job.log.head + job.log.tail) for job in jobs if job.log is not None}
    assert end_bytes < 16 * 1024
    assert sizes["score-1"] > 30_000 > max(sizes["score-2"], sizes["prepare"])


def test_many_similar_jobs_are_one_node_with_the_worst_state() -> None:
    nodes = outline(a_report(1000, failed=True, log_lines=1, periods=0).jobs)
    assert [node.title for node in nodes] == ["prepare", "score-# (998 jobs)", "summarize"]
    assert nodes[1].lines == ("997 succeeded", "1 failed")
    assert nodes[1].state == "failed"
    assert [list(node.after) for node in nodes] == [[], ["prepare"], ["score-# (998 jobs)"]]


def test_few_jobs_have_a_node_each() -> None:
    nodes = outline(a_report(6, log_lines=1, periods=0).jobs)
    assert [node.job for node in nodes] == [node.name for node in nodes]
    assert nodes[-1].after["score-1"] == ("score-1 result",)
