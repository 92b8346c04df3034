"""What was found, as a person reads it."""

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
    """A check's findings, a line each, with reason and fix below where there are some."""
    return Text("\n").join(_lines(report))


def _lines(report: Report) -> Iterable[Text]:
    for one in report.findings:
        mark, style = _MARKS[one.level]
        start = Text.assemble((f"{mark} ", style), (f"{report.check}: ", "bold"))
        if one.level == "not checked":
            yield start.append(f"not checked, because {one.why}")
            continue
        if one.level in ("error", "warning"):
            start.append(f"{one.level}: ", style)
        yield start.append(one.what)
        yield from _reasons(one)


def _reasons(one: Finding) -> Iterable[Text]:
    for name, told in (("why", one.why), ("fix", one.fix)):
        if told:
            yield Text.assemble((f"    {name}: ", "dim"), told)


def verdict(reports: Iterable[Report]) -> Text:
    """How it is as a whole, in a sentence."""
    counts = Counter(one.level for report in reports for one in report.findings)
    if not counts["error"] and not counts["warning"]:
        return Text("All is well.", style="green")
    parts = [
        f"{counts[level]} {level}{'s' * (counts[level] > 1)}"
        for level in ("error", "warning")
        if counts[level]
    ]
    style = "bold red" if counts["error"] else "yellow"
    return Text(" and ".join(parts) + ".", style=style)
