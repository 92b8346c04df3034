"""The start of a job: the time from when it was ready to the first line of its first step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.runtime.usage import JobUsage, Phase, PhaseKind
from flowyml_aws.submission.times import JobTimes, WaitKind, wait_ends

__all__ = ["JobStart", "StartKind", "StartPart", "start_of"]


class StartKind(str, Enum):
    """A part of the start of a job, in order; the value is its name for people."""

    QUEUE = "queue"
    """The job waits for a machine, or for a free place on this one."""
    INSTANCE = "instance"
    """An instance starts for the job."""
    IMAGE = "image"
    """The image is pulled; on SageMaker also data."""
    CONTAINER = "container"
    """The container starts, until its process exists."""
    PYTHON = "python"
    """Python starts, and imports the modules of the runner."""
    CODE = "code"
    """Spec, code and layer are read and unpacked, and the job is claimed."""
    IMPORTS = "imports"
    """The user's program is loaded, which imports its modules."""
    INPUTS = "inputs"
    """The inputs of the first step are loaded."""


_CLOCK_ERROR_S = 1.0
"""Seconds by which a job may seem to run before its service has it. If it is more, the clocks of
the service and the machine differ, and the wait is unknown."""

_OF_WAITS: dict[WaitKind, tuple[StartKind, ...]] = {
    WaitKind.QUEUE: (StartKind.QUEUE,),
    WaitKind.QUEUE_WITH_START: (StartKind.QUEUE, StartKind.INSTANCE, StartKind.IMAGE),
    WaitKind.START: (StartKind.INSTANCE,),
    WaitKind.START_WITH_PULL: (StartKind.INSTANCE, StartKind.IMAGE),
    WaitKind.PULL: (StartKind.IMAGE,),
}


class StartPart(Document):
    """A measured part of a start.

    Attributes:
        kinds: Kinds of time that it contains; several if only their sum is known.
    """

    kinds: tuple[StartKind, ...]
    seconds: float

    def __str__(self) -> str:
        return " and ".join(kind.value for kind in self.kinds)


class JobStart(Document):
    """The measured parts of a job's start, without gaps.

    Attributes:
        parts: Parts in order.
        absent: Kinds that this start did not need. The others that no part contains are unknown.
        is_whole: Whether the parts reach the first line of a step.
    """

    parts: tuple[StartPart, ...]
    absent: tuple[StartKind, ...] = ()
    is_whole: bool = False

    @property
    def seconds(self) -> float | None:
        """Time from when the job was ready to the first line of a step; None if it is unknown."""
        return sum(part.seconds for part in self.parts) if self.is_whole else None

    def part_of(self, kind: StartKind) -> StartPart | None:
        """Return the part that contains a kind, or None."""
        return next((part for part in self.parts if kind in part.kinds), None)


def start_of(
    times: JobTimes,
    usage: JobUsage | None,
    ready_at: float,
    started_at: float | None,
    on_this_machine: bool,
) -> JobStart | None:
    """Return the start of the latest attempt of a job, or None if it has not started.

    Args:
        times: Times that the service reports.
        usage: Document of the attempt, if there is one.
        ready_at: End of the job's last parent, or the start of the run.
        started_at: Start of the runner, for services that report no start of the container.
        on_this_machine: Whether the job is a process of the client's machine.
    """
    process_at = None if usage is None or usage.start is None else usage.start.process_at
    container_at = times.started_at or process_at or started_at
    if container_at is None:
        return None
    if process_at is not None:
        container_at = min(container_at, process_at)  # the service may round, or notice it later
    begin = max(ready_at, times.queued_at or ready_at)
    knows_wait = begin - container_at <= _CLOCK_ERROR_S
    begin = min(begin, container_at)
    absent: list[StartKind] = []
    marks: list[tuple[tuple[StartKind, ...], float]] = []
    if on_this_machine:
        absent += [StartKind.INSTANCE, StartKind.IMAGE, StartKind.CONTAINER]
        marks.append(((StartKind.QUEUE,), process_at or container_at))
    elif knows_wait:
        marks += _wait_marks(times, usage, begin, container_at)
        known = {kind for kinds, _ in marks for kind in kinds}
        if StartKind.INSTANCE not in known:
            absent.append(StartKind.INSTANCE)
    if usage is not None:
        marks += _runner_marks(usage)
    left_out = {*absent} if knows_wait else {*absent, StartKind.CONTAINER}
    kept = [(tuple(k for k in kinds if k not in left_out), until) for kinds, until in marks]
    parts = tuple(_parts(begin, [mark for mark in kept if mark[0]]))
    return JobStart(
        parts=parts,
        absent=tuple(absent),
        is_whole=knows_wait and bool(parts) and StartKind.INPUTS in parts[-1].kinds,
    )


def _wait_marks(
    times: JobTimes, usage: JobUsage | None, begin: float, end: float
) -> Iterator[tuple[tuple[StartKind, ...], float]]:
    """Yield what happens until the container starts, each with its end."""
    has_pulled = False
    for wait, until in wait_ends(times, usage, begin, end):
        kinds = _OF_WAITS[wait]
        if has_pulled:
            kinds = (StartKind.CONTAINER,)
        elif wait is WaitKind.QUEUE and not _knows_instance(times, usage):
            kinds = (StartKind.QUEUE, StartKind.INSTANCE)
        has_pulled |= wait is WaitKind.PULL
        yield kinds, min(until, end)


def _knows_instance(times: JobTimes, usage: JobUsage | None) -> bool:
    return times.launched_at is not None or (
        usage is not None and usage.machine_started_at is not None
    )


def _runner_marks(usage: JobUsage) -> Iterator[tuple[tuple[StartKind, ...], float]]:
    """Yield what happens in the process until its first step, each with its end."""
    start = usage.start
    before: tuple[StartKind, ...] = ()
    if start is None:
        before = (StartKind.CONTAINER, StartKind.PYTHON)
    else:
        if start.process_at is None:
            before = (StartKind.CONTAINER,)
        else:
            yield (StartKind.CONTAINER,), start.process_at
        yield (*before, StartKind.PYTHON), start.imported_at
        before = ()
    program = _first(usage.phases, PhaseKind.PROGRAM)
    code = _first(usage.phases, PhaseKind.CODE)
    if program is not None:
        yield (*before, StartKind.CODE), program.started_at
        yield (StartKind.IMPORTS,), program.ended_at
    elif code is not None:
        yield (*before, StartKind.CODE, StartKind.IMPORTS), code.ended_at
    else:
        return
    if (step := _first(usage.phases, PhaseKind.STEP)) is not None:
        yield (StartKind.INPUTS,), step.started_at


def _first(phases: Iterable[Phase], kind: PhaseKind) -> Phase | None:
    return next((phase for phase in phases if phase.kind is kind), None)


def _parts(
    begin: float, marks: Iterable[tuple[tuple[StartKind, ...], float]]
) -> Iterator[StartPart]:
    """Yield the parts between marks; consecutive ones of a kind are one.

    A part has at least 0 seconds: the clocks of a service and a machine may differ.
    """
    last: StartPart | None = None
    for kinds, until in marks:
        seconds = max(0.0, until - begin)
        begin = max(begin, until)
        if last is not None and last.kinds[-1] is kinds[0]:
            kinds = (*last.kinds, *kinds[1:])
            seconds += last.seconds
        elif last is not None:
            yield last
        last = StartPart(kinds=kinds, seconds=round(seconds, 3))
    if last is not None:
        yield last
