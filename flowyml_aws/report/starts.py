"""The starts of jobs as a table: what each waited for before the first line of its first step."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from flowyml_aws.core.sheets import Sheet
from flowyml_aws.report.data import JobEntry
from flowyml_aws.report.wording import duration_text
from flowyml_aws.submission.starts import JobStart, StartKind

__all__ = ["known_seconds", "start_sheet"]

_UNKNOWN, _ABSENT = "unknown", "–"


def start_sheet(jobs: Sequence[JobEntry], max_rows: int) -> Sheet | None:
    """Return a table with a row for each job that has started, slowest first; None without any.

    Args:
        jobs: Jobs of a run.
        max_rows: Largest number of rows.
    """
    starts = [(job.name, job.start) for job in jobs if job.start is not None]
    if not starts:
        return None
    # Jobs whose start is not whole come last, in plan order.
    starts.sort(key=lambda named: -(named[1].seconds or 0.0))
    rows = [(name, *_cells(start)) for name, start in starts[:max_rows]]
    whole = [start.seconds for _, start in starts if start.seconds is not None]
    lines = []
    if len(whole) > 1:
        lines.append(f"Median of {len(whole):,} jobs: {duration_text(median(whole))}.")
    if len(starts) > len(rows):
        lines.append(f"{len(starts) - len(rows):,} more jobs have started, most of them faster.")
    columns = ("Job", "Total", *(kind.value.capitalize() for kind in StartKind))
    return Sheet("", columns, rows, frozenset(range(1, len(columns))), tuple(lines))


def known_seconds(start: JobStart | None, kind: StartKind) -> float | None:
    """Return the seconds of one kind; None if they are unknown, or known only in a sum."""
    part = None if start is None else start.part_of(kind)
    if part is not None:
        return part.seconds if len(part.kinds) == 1 else None
    return 0.0 if start is not None and kind in start.absent else None


def _cells(start: JobStart) -> tuple[str, ...]:
    return (duration_text(start.seconds) or _UNKNOWN, *(_cell(start, kind) for kind in StartKind))


def _cell(start: JobStart, kind: StartKind) -> str:
    part = start.part_of(kind)
    if part is None:
        return _ABSENT if kind in start.absent else _UNKNOWN
    first, *others = part.kinds
    if kind is not first:
        return _UNKNOWN
    with_others = f", with {', '.join(other.value for other in others)}" if others else ""
    return f"{duration_text(part.seconds)}{with_others}"
