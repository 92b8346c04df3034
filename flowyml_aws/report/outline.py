"""The graph of a run's jobs for a picture: many similar jobs become one node."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from flowyml_aws.report.data import JobEntry
from flowyml_aws.submission.backend import JobState

__all__ = ["MAX_NODES", "Node", "outline"]

MAX_NODES = 150
"""Nodes of a graph that a reader can follow, and that a browser lays out in less than a second."""
_MAX_LINES, _MAX_LINE = 8, 40


@dataclass(frozen=True, slots=True)
class Node:
    """A job, or several similar jobs.

    Attributes:
        name: Unique name.
        title: Name as a box shows it.
        lines: Lines below the name: steps, or the number of jobs in each state.
        state: State of the job; the worst one of several.
        after: Assets from each node before it, by its name.
        job: Name of the job; None for several.
        count: Number of jobs.
    """

    name: str
    title: str
    lines: tuple[str, ...]
    state: str
    after: dict[str, tuple[str, ...]]
    job: str | None
    count: int = 1


def outline(jobs: Sequence[JobEntry]) -> list[Node]:
    """Return a node for each job, or for all jobs whose names differ only in digits if many."""
    if len(jobs) <= MAX_NODES:
        return [
            Node(
                name=job.name,
                title=_cut(job.name),
                lines=_step_lines(job),
                state=job.state.value,
                after={name: tuple(map(_cut, assets)) for name, assets in job.edges.items()},
                job=job.name,
            )
            for job in jobs
        ]
    groups: dict[str, list[JobEntry]] = {}
    for job in jobs:
        groups.setdefault(_stem(job.name), []).append(job)
    return [_group_node(stem, members) for stem, members in groups.items()]


def _group_node(stem: str, jobs: Sequence[JobEntry]) -> Node:
    counts = Counter(job.state for job in jobs)
    before = {_stem(parent) for job in jobs for parent in job.edges} - {stem}
    worst = max(counts, key=_BADNESS.index)
    lines = [f"{count:,} {state.value}" for state, count in counts.most_common()]
    is_single = len(jobs) == 1
    return Node(
        name=stem,
        title=_cut(jobs[0].name if is_single else stem),
        lines=tuple(lines[:_MAX_LINES]) if not is_single else _step_lines(jobs[0]),
        state=worst.value,
        after={parent: () for parent in sorted(before)},
        job=jobs[0].name if is_single else None,
        count=len(jobs),
    )


_BADNESS = [
    JobState.SUCCEEDED,
    JobState.WAITING,
    JobState.QUEUED,
    JobState.STARTING,
    JobState.RUNNING,
    JobState.LOST,
    JobState.CANCELLED,
    JobState.BLOCKED,
    JobState.FAILED,
]


def _step_lines(job: JobEntry) -> tuple[str, ...]:
    if job.steps == (job.name,):
        return ()
    lines = tuple(map(_cut, job.steps[:_MAX_LINES]))
    more = len(job.steps) - len(lines)
    return (*lines, f"and {more:,} more steps") if more else lines


def _stem(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_LINE else f"{text[:_MAX_LINE]}…"
