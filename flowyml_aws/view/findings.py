"""Terminal output of the findings of checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.text import Text

from flowyml_aws.core.findings import Finding, Level
from flowyml_aws.doctor.examination import Report

__all__ = ["report_text", "verdict"]

_MARKS: dict[Level, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "note": ("·", "cyan"),
    "warning": ("!", "yellow"),
    "error": ("✗", "bold red"),
    "not checked": ("?", "dim"),
}


def report_text(report: Report) -> Text:
    """Return a check's findings, one per line, each followed by its reason and fix if any."""
    return Text("\n").join(_lines(report))


def _lines(report: Report) -> Iterable[Text]:
    for finding in report.findings:
        mark, style = _MARKS[finding.level]
        line = Text.assemble((f"{mark} ", style), (f"{report.check}: ", "bold"))
        if finding.level == "not checked":
            yield line.append(f"not checked, because {finding.why}")
            continue
        if finding.level in ("error", "warning"):
            line.append(f"{finding.level}: ", style)
        yield line.append(finding.what)
        yield from _reasons(finding)


def _reasons(finding: Finding) -> Iterable[Text]:
    for name, text in (("why", finding.why), ("fix", finding.fix)):
        if text:
            yield Text.assemble((f"    {name}: ", "dim"), text)


def verdict(reports: Iterable[Report]) -> Text:
    """Return a summary of all reports in one sentence."""
    counts = Counter(finding.level for report in reports for finding in report.findings)
    if not counts["error"] and not counts["warning"]:
        return Text("No problems found.", style="green")
    parts = [
        f"{counts[level]} {level}{'s' * (counts[level] > 1)}"
        for level in ("error", "warning")
        if counts[level]
    ]
    style = "bold red" if counts["error"] else "yellow"
    return Text(" and ".join(parts) + ".", style=style)
