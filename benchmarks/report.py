"""Size of the page of a report, and the time until a browser has drawn it.

The reports are of runs that never happened: one step in each job, with a log of 2,000 lines, eight
curves of 300 points, a preview of a table, and as logged values a metric of 300 points, a table, a
string and an image.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks._measuring import Target, argument_parser, cpu_seconds, report
from benchmarks._results import row
from flowyml_aws.report.data import RunReport
from flowyml_aws.report.page import to_html
from tests.support.browser import CHROMIUM, open_page
from tests.support.reports import a_report, logged_values

MAX_MB = {50: 1.0, 1000: 6.0, 10_000: 8.0}
INTERACTIVE_S = 2.0  # for up to 1,000 jobs


def drawn_s(page: Path, folder: Path, repetitions: int) -> float:
    """Return the shortest time from the start of the navigation until everything is drawn."""
    times = []
    for _ in range(repetitions):
        with open_page(folder) as browser:
            browser.open(page)
            times.append(float(browser.evaluate("document.documentElement.dataset.ready")) / 1000)
    return min(times)


def with_logged_steps(run: RunReport) -> RunReport:
    """Return a report in which every step has logged values."""
    logged = logged_values(points=300)
    steps = tuple(step.model_copy(update={"logged": logged}) for step in run.steps)
    return run.model_copy(update={"steps": steps})


def make_page(run: RunReport, pages: list[str]) -> None:
    pages.append(to_html(run))


def main() -> int:
    parser = argument_parser(__doc__, repetitions=3)
    parser.add_argument("--largest", type=int, default=max(MAX_MB), metavar="JOBS")
    options = parser.parse_args()
    rows, targets, numbers, measured = [], [], {}, []
    with tempfile.TemporaryDirectory() as folder:
        for jobs, max_mb in MAX_MB.items():
            if jobs > options.largest:
                continue
            lines = 2000 if jobs <= 1000 else 50
            run = with_logged_steps(a_report(jobs, failed=True, log_lines=lines))
            path = Path(folder, f"{jobs}.html")
            pages: list[str] = []
            made_s = cpu_seconds(partial(make_page, run, pages))
            path.write_text(pages[0], "utf-8")
            size_mb = path.stat().st_size / 1e6
            targets.append(Target(f"page of {jobs:,} jobs", size_mb, max_mb, "MB"))
            name = f"page of {jobs:,} jobs"
            measured.append(row(f"{name}: size", "MB", [size_mb], {"the limit": max_mb}))
            measured.append(row(f"{name}: made", "s", [made_s]))
            shown_s = None
            if CHROMIUM is not None:
                shown_s = drawn_s(path, Path(folder), options.repetitions)
                if jobs <= 1000:
                    what = f"page of {jobs:,} jobs, drawn"
                    targets.append(Target(what, shown_s, INTERACTIVE_S, "s"))
            shown = "" if shown_s is None else f"{shown_s:.2f}"
            rows.append((f"{jobs:,}", f"{size_mb:.2f}", f"{made_s:.2f}", shown))
            numbers[str(jobs)] = {"size_mb": size_mb, "made_s": made_s, "drawn_s": shown_s}
    notes = ["drawn: wall time in headless Chromium, the minimum of the repetitions"]
    if CHROMIUM is None:
        notes = ["Chromium is not installed, so the time in a browser was not measured"]
    columns = ("jobs", "size, MB", "made, s", "drawn, s")
    return report(columns, rows, targets, notes, numbers, options.json, measured)


if __name__ == "__main__":
    sys.exit(main())
