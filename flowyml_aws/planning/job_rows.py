"""Rows of tables of jobs: one for all jobs that run items of the same mapped steps."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

__all__ = ["JobRow", "PlacedJob", "job_names_text", "job_rows", "rows_by_job"]


class PlacedJob(Protocol):
    """The parts of a job by which jobs are grouped."""

    @property
    def name(self) -> str: ...
    @property
    def steps(self) -> tuple[str, ...]: ...
    @property
    def mapped(self) -> tuple[str, ...]: ...


Job = TypeVar("Job", bound=PlacedJob)


@dataclass(frozen=True, slots=True)
class JobRow(Generic[Job]):
    """A job, or several jobs that run items of the same mapped steps.

    Attributes:
        title: Unique name: that of the job, or the common part of several names with their
            number, `train ×500`.
    """

    title: str
    jobs: tuple[Job, ...]

    @property
    def first(self) -> Job:
        """First job of the row."""
        return self.jobs[0]

    @property
    def is_map(self) -> bool:
        """True if the jobs run items of mapped steps."""
        return bool(self.first.mapped)

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of the steps of a job; of a map, those that the user declared."""
        return self.first.mapped or self.first.steps


def job_rows(
    jobs: Iterable[Job], machine: Callable[[Job], Hashable] = lambda _: None
) -> list[JobRow[Job]]:
    """Return the rows of a table of jobs, each at the position of its first job.

    Args:
        jobs: Jobs in plan order.
        machine: Returns what the jobs of one row have in common apart from their steps.
    """
    rows: dict[Hashable, list[Job]] = {}
    for job in jobs:
        key = (_stem(job), job.mapped, machine(job)) if job.mapped else job.name
        rows.setdefault(key, []).append(job)
    counts: dict[str, int] = {}
    found = []
    for members in rows.values():
        title = _title(members)
        counts[title] = counts.get(title, 0) + 1
        unique = title if counts[title] == 1 else f"{title} ({counts[title]})"
        found.append(JobRow(unique, tuple(members)))
    return found


def rows_by_job(rows: Iterable[JobRow[Job]]) -> dict[str, JobRow[Job]]:
    """Return the row of each job by its name."""
    return {job.name: row for row in rows for job in row.jobs}


def job_names_text(names: Iterable[str], rows: Mapping[str, JobRow[Job]]) -> str:
    """Return the names of jobs as text; many jobs of one row are only counted.

    Args:
        names: Names of jobs.
        rows: Row of each job.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        row = rows.get(name)
        found.setdefault(name if row is None else row.title, []).append(name)
    texts = []
    for title, members in found.items():
        row = rows.get(members[0])
        is_whole = row is None or len(members) == len(row.jobs)
        if len(members) == 1 and not is_whole:
            texts.append(members[0])
        else:
            texts.append(title if is_whole else f"{len(members):,} of {title}")
    return ", ".join(texts)


def _stem(job: PlacedJob) -> str:
    """Return the name of a job without the numbers of its first and its last item."""
    numbers = [step.rpartition("[")[2].removesuffix("]") for step in job.steps]
    first, last = numbers[0], numbers[-1]
    suffix = f"-{first}" if first == last else f"-{first}-{last}"
    return job.name.removesuffix(suffix)


def _title(jobs: Sequence[PlacedJob]) -> str:
    return jobs[0].name if len(jobs) == 1 else f"{_stem(jobs[0])} ×{len(jobs):,}"
