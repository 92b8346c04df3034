"""The graph of a run's jobs for a picture: many similar jobs become one node."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowyml_aws.core.maps import declared_name
from flowyml_aws.planning.job_rows import JobRow, job_rows, rows_by_job
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.report.data import ApprovalEntry, JobEntry
from flowyml_aws.submission.approvals import ApprovalState
from flowyml_aws.submission.backend import JobState

__all__ = ["MAX_NODES", "MAX_SIMILAR", "Node", "outline", "plan_outline"]

MAX_NODES = 150
"""Nodes of a graph that a reader can follow, and that a browser lays out in less than a second."""
MAX_SIMILAR = 12
"""Jobs with similar names that have a node each."""
_MAX_LINES, _MAX_LINE = 8, 40
_MAX_STEPS = 200  # in larger plans, boxes show only the number of steps


@dataclass(frozen=True, slots=True)
class Node:
    """A job, several similar jobs, or an approval.

    Attributes:
        name: Unique name.
        title: Name as a box shows it.
        lines: Lines below the name: steps, or the number of jobs in each state.
        state: State of the job; the worst one of several. Empty in a plan.
        after: Assets from each node before it, by its name.
        job: Name of the job; None for several, and for an approval.
        count: Number of jobs.
    """

    name: str
    title: str
    lines: tuple[str, ...]
    state: str
    after: dict[str, tuple[str, ...]]
    job: str | None
    count: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return what `graph.js` draws."""
        fields = ("name", "title", "lines", "state", "after", "job")
        return {field: getattr(self, field) for field in fields}


def outline(jobs: Sequence[JobEntry], approvals: Iterable[ApprovalEntry] = ()) -> list[Node]:
    """Return a node for each job, or for many jobs whose names differ only in digits.

    Approvals have nodes, too.
    """
    sizes = Counter(_stem(job.name) for job in jobs)
    many = MAX_SIMILAR if len(jobs) <= MAX_NODES else 1
    groups: dict[str, list[JobEntry]] = {}
    keys = {}
    for job in jobs:
        stem = _stem(job.name)
        keys[job.name] = f"{stem} ({sizes[stem]:,} jobs)" if sizes[stem] > many else job.name
        groups.setdefault(keys[job.name], []).append(job)
    nodes = [_node(name, members, keys) for name, members in groups.items()]
    return [*nodes, *(_approval_node(each, keys) for each in approvals)]


def plan_outline(plan: ExecutionPlan, machines: Mapping[str, str]) -> list[Node]:
    """Return a node for each job of a plan, and for each asset that no job produces.

    Args:
        plan: The plan.
        machines: Machine of each job as text; empty on this machine.
    """
    rows = job_rows(plan.jobs, lambda job: machines[job.name])
    of_job = rows_by_job(rows)
    nodes = [
        Node(f"input {asset}", _cut(asset), (_cut(origin),), "", {}, None)
        for asset, origin in plan.origins_by_name.items()
    ]
    has_steps = sum(len(row.steps) for row in rows) <= _MAX_STEPS
    for row in rows:
        steps = tuple(f"{number}. {_cut(step)}" for number, step in enumerate(row.steps, 1))
        machine = machines[row.first.name]
        lines = ((machine,) if machine else ()) + (steps if has_steps else (f"{len(steps)} steps",))
        lines = ("if taken", *lines) if row.first.held else lines
        lines = (*(_cut(f"after approval {each}") for each in row.first.approvals), *lines)
        after = _after(row, of_job)
        nodes.append(Node(f"job {row.title}", _cut(row.title), lines, "", after, None))
    return nodes


def _after(
    row: JobRow[PlannedJob], rows: Mapping[str, JobRow[PlannedJob]]
) -> dict[str, tuple[str, ...]]:
    """Return the assets that jobs read from each node, or `after` if they only wait for it."""
    after: dict[str, tuple[str, ...]] = {
        f"job {rows[source].title}": ("after",) for job in row.jobs for source in job.after
    }
    for job in row.jobs:
        for asset, source in job.reads.items():
            name = declared_name(asset)
            key = f"input {name}" if source is None else f"job {rows[source].title}"
            known = after.get(key, ())
            label = job.label_of(name)
            new = (label,) if source and label not in known else ()
            after[key] = (*(() if known == ("after",) else known), *new)
    return after


def _node(name: str, jobs: Sequence[JobEntry], keys: Mapping[str, str]) -> Node:
    counts = Counter(job.state_name for job in jobs)
    after: dict[str, tuple[str, ...]] = {}
    for job in jobs:
        for parent, assets in job.edges.items():
            source = keys.get(parent, parent)
            if source != name:
                after.setdefault(source, tuple(map(_cut, assets)) if len(jobs) == 1 else ())
        after.update({_approval_name(each): () for each in job.approvals})
    states = tuple(f"{count:,} {state}" for state, count in counts.most_common(_MAX_LINES))
    return Node(
        name=name,
        title=_cut(name),
        lines=_step_lines(jobs[0]) if len(jobs) == 1 else states,
        state=max(counts, key=_BADNESS.index),
        after=after,
        job=jobs[0].name if len(jobs) == 1 else None,
        count=len(jobs),
    )


def _approval_node(approval: ApprovalEntry, keys: Mapping[str, str]) -> Node:
    after: dict[str, tuple[str, ...]] = {_approval_name(each): () for each in approval.approvals}
    for job, assets in approval.edges.items():
        source = keys.get(job, job)
        after[source] = (*after.get(source, ()), *map(_cut, assets))
    return Node(
        name=_approval_name(approval.name),
        title=_cut(f"approval {approval.name}"),
        lines=(_cut(approval.answer or approval.state.value),),
        state=_STATE_OF_APPROVAL[approval.state],
        after=after,
        job=None,
    )


def _approval_name(approval: str) -> str:
    return f"approval {approval}"  # names of jobs have no spaces


_STATE_OF_APPROVAL = {
    ApprovalState.NOT_REACHED: "waiting",
    ApprovalState.WAITING: "waiting",
    ApprovalState.APPROVED: "succeeded",
    ApprovalState.REJECTED: "failed",
    ApprovalState.TIMED_OUT: "failed",
    ApprovalState.NOT_NEEDED: "skipped",
}
_BADNESS = [
    "skipped",
    JobState.SUCCEEDED.value,
    JobState.WAITING.value,
    JobState.QUEUED.value,
    JobState.STARTING.value,
    JobState.RUNNING.value,
    JobState.LOST.value,
    JobState.CANCELLED.value,
    JobState.BLOCKED.value,
    JobState.FAILED.value,
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
