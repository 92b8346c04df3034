"""Progress of the mapped steps of a run: the states of their items, and the items left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from flowyml_aws.core.amounts import counted
from flowyml_aws.core.maps import (
    declared_name,
    index_of,
    is_part,
    required_items,
    slice_of_part,
)
from flowyml_aws.planning.plan import PlannedMap
from flowyml_aws.runtime.result import StepReport, StepState
from flowyml_aws.submission.backend import JobState

__all__ = ["MAX_NAMED", "ItemReport", "MapProgress", "cause_of", "drop_notes", "make_progress"]

MAX_NAMED = 5
"""Failed items of a map that are named; others are only counted."""

_GONE = (StepState.FAILED, StepState.NOT_RUN)
_ORDER = [
    StepState.SUCCEEDED,
    StepState.CACHED,
    StepState.SKIPPED,
    StepState.FAILED,
    StepState.RUNNING,
    StepState.WAITING,
    StepState.CANCELLED,
    StepState.NOT_RUN,
]


@dataclass(frozen=True, slots=True)
class ItemReport:
    """One item of a mapped step.

    Attributes:
        job: Job that runs it; None if its outputs are reused.
        is_dropped: Whether the run continues without it. It failed, or an item that it reads did.
        items: Number of items: several, if it is a part whose items are not known, or not any
            more. It is the number that the part is planned for.
    """

    report: StepReport
    job: str | None
    is_dropped: bool
    items: int = 1


@dataclass(frozen=True)
class MapProgress:
    """The items of a mapped step at one moment.

    Attributes:
        step: Name of the mapped step.
        planned: The map as planned.
        items: Items in order.
        jobs: Number of jobs in each state that run items of the step.
    """

    step: str
    planned: PlannedMap
    items: Sequence[ItemReport]
    jobs: Mapping[JobState, int]

    @cached_property
    def states(self) -> Mapping[StepState, int]:
        """Number of items in each state."""
        counts: Counter[StepState] = Counter()
        for item in self.items:
            counts[item.report.state] += item.items
        return counts

    @cached_property
    def total(self) -> int:
        """Number of items; an assumption as long as a list that the run produces is unknown."""
        if self.planned.parts is None:
            return self.planned.items
        return sum(item.items for item in self.items)

    @cached_property
    def failed(self) -> Sequence[ItemReport]:
        """Items that failed, in order. Items that were not run because of them are left out."""
        return [item for item in self.items if item.report.state is StepState.FAILED]

    @cached_property
    def dropped(self) -> Sequence[ItemReport]:
        """Items that the run continues without, in order."""
        return [item for item in self.items if item.is_dropped]

    @property
    def required(self) -> int:
        """Number of items that must not be dropped."""
        if self.planned.on_item_failure != "drop":
            return self.total
        return required_items(self.total, self.planned.min_success)

    @property
    def has_too_few(self) -> bool:
        """True if more items were dropped than `min_success` allows."""
        if self.planned.on_item_failure != "drop":
            return False
        return self.total - len(self.dropped) < self.required

    @property
    def missing(self) -> str | None:
        """Explanation if too few items succeeded, in one line; otherwise None."""
        if not self.has_too_few:
            return None
        succeeded = self.total - len(self.dropped)
        return (
            f"{self.step} failed: {succeeded:,} of {counted(self.total, 'item')} "
            f"succeeded, and at least {self.required:,} must"
        )

    @property
    def text(self) -> str:
        """Number of items in each state: `37 of 40 items succeeded, 1 failed, 2 running`."""
        counts = [(state, self.states[state]) for state in _ORDER if self.states.get(state)]
        if not counts:
            return counted(self.total, "item")
        first, *others = (f"{count:,} {state.value}" for state, count in counts)
        number, _, state = first.partition(" ")
        total = counted(self.total, "item")
        return ", ".join([f"{number} of {total} {state}", *others])

    @property
    def jobs_text(self) -> str:
        """Number of running jobs: `2 of 20 jobs running`; empty if none is running."""
        running = self.jobs.get(JobState.RUNNING, 0) + self.jobs.get(JobState.STARTING, 0)
        total = counted(sum(self.jobs.values()), "job")
        return f"{running:,} of {total} running" if running else ""

    def named(self, items: Sequence[ItemReport]) -> str:
        """Return the first items of each cause; after some causes, the number of other items."""
        by_cause: dict[str, list[str]] = {}
        for item in items:
            by_cause.setdefault(cause_of(item.report), []).append(item.report.name)
        shown = [f"{_first_of(names)}: {cause}" for cause, names in by_cause.items()][:MAX_NAMED]
        others = sum(len(names) for names in list(by_cause.values())[MAX_NAMED:])
        return "; ".join([*shown, *([f"and {others:,} more"] if others else [])])


def make_progress(
    maps: Mapping[str, PlannedMap],
    reports: Mapping[str, StepReport],
    jobs: Iterable[tuple[str, JobState, Sequence[str]]],
) -> dict[str, MapProgress]:
    """Return the progress of mapped steps, by name.

    Args:
        maps: Mapped steps of the plan.
        reports: Reports of all steps of the run, by name.
        jobs: Name, state and steps of each job that runs items, with the items of its parts.
    """
    job_of: dict[str, tuple[str, JobState]] = {}
    states: dict[str, Counter[JobState]] = {name: Counter() for name in maps}
    step_of = {member: name for name, each in maps.items() for member in each.members(name)}
    items_in: dict[tuple[str, str], list[str]] = {}
    for name_of_job, state, steps in jobs:
        job_of.update(dict.fromkeys(steps, (name_of_job, state)))
        for name in {step_of[step] for step in steps if step in step_of}:
            states[name][state] += 1
        for step in steps:
            if step not in step_of and (declared := declared_name(step)) in maps:
                items_in.setdefault((declared, name_of_job), []).append(step)
    items: dict[str, list[ItemReport]] = {name: [] for name in maps}
    shown: set[tuple[str, str]] = set()
    for member, step in step_of.items():
        if (report := reports.get(member)) is None:
            continue
        runs_in = job_of.get(member)
        place = step, runs_in[0] if runs_in is not None else ""
        if place not in items_in:
            if runs_in is not None and report.state is StepState.SUCCEEDED and is_part(member):
                continue  # its job has read the list, and found no item for it
            items[step].append(_item(report, runs_in, _planned_items(maps[step], member)))
        elif place not in shown:  # the items of all parts in the job
            shown.add(place)
            items[step] += (_item(reports[name], runs_in) for name in items_in[place])
    return {name: MapProgress(name, maps[name], items[name], states[name]) for name in maps}


def _item(report: StepReport, runs_in: tuple[str, JobState] | None, items: int = 1) -> ItemReport:
    has_ended_well = runs_in is None or runs_in[1] is JobState.SUCCEEDED
    is_dropped = has_ended_well and report.state in _GONE
    return ItemReport(report, None if runs_in is None else runs_in[0], is_dropped, items)


def _planned_items(planned: PlannedMap, member: str) -> int:
    """Return the number of items that a part is planned for; 1 for an item."""
    if planned.parts is None:
        return 1
    return len(slice_of_part(index_of(member) or 0, planned.parts, planned.items))


def drop_notes(progress: Iterable[MapProgress]) -> Iterator[str]:
    """Yield a sentence on each map of whose failed items the run continues without."""
    for each in progress:
        failed = [item for item in each.failed if item.is_dropped]
        if failed:
            verb = "was" if len(failed) == 1 else "were"
            total = counted(each.total, "item")
            yield f"{len(failed):,} of {total} of {each.step} {verb} dropped ({each.named(failed)})"


def _first_of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} more"


def cause_of(report: StepReport) -> str:
    """Return the reason of the state of an item in one line."""
    failure = report.failure
    if failure is None:
        return report.reason or report.state.value
    message = " ".join(failure.message.split())
    return message if failure.kind == "JobEnded" else f"{failure.kind}: {message}"
