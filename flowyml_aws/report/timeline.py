"""The time of a job, split by its use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flowyml_aws.report.data import Segment, SegmentKind
from flowyml_aws.runtime.result import StepReport
from flowyml_aws.runtime.usage import Phase, PhaseKind
from flowyml_aws.submission.times import Wait, WaitKind

__all__ = ["estimated_segments", "recorded_segments", "waiting_segments", "with_waits"]

_KINDS = {
    PhaseKind.LAYER: SegmentKind.PULL,
    PhaseKind.CODE: SegmentKind.DOWNLOAD,
    PhaseKind.PROGRAM: SegmentKind.DOWNLOAD,
    PhaseKind.INPUTS: SegmentKind.DOWNLOAD,
    PhaseKind.STEP: SegmentKind.COMPUTE,
    PhaseKind.OUTPUTS: SegmentKind.UPLOAD,
}
_SHORTEST_S = 0.0005  # shorter waits are rounding errors


def recorded_segments(phases: Iterable[Phase]) -> list[Segment]:
    """Return the segments of an attempt that recorded its phases."""
    return [
        Segment(
            kind=_KINDS[phase.kind],
            step=phase.step,
            started_at=phase.started_at,
            ended_at=max(phase.started_at, phase.ended_at),
        )
        for phase in phases
    ]


def waiting_segments(waits: Iterable[Wait], until: float) -> list[Segment]:
    """Return the segments of a wait whose parts the service or the job has reported.

    Args:
        waits: The parts, in order.
        until: Start of the job's first phase. The start of its program counts as waiting, too.
    """
    segments = [
        Segment(
            kind=SegmentKind.PULL if wait.kind is WaitKind.PULL else SegmentKind.WAITING,
            started_at=wait.started_at,
            ended_at=wait.ended_at,
        )
        for wait in waits
    ]
    ended_at = segments[-1].ended_at if segments else until
    if ended_at < until:
        start = Segment(kind=SegmentKind.WAITING, started_at=ended_at, ended_at=until)
        segments.append(start)
    return segments


def estimated_segments(
    started_at: float, ended_at: float, steps: Sequence[StepReport], now: float
) -> list[Segment]:
    """Return the segments of an attempt from the times of its steps.

    The time before the first step counts as download, and the time after the last as upload.

    Args:
        started_at: Start of the attempt.
        ended_at: Its end, or the present time if it still runs.
        steps: Reports of its steps.
        now: The present time, in seconds since the epoch.
    """
    ran = sorted(
        (step.started_at, min(ended_at, step.ended_at or now), step.name)
        for step in steps
        # Steps of an earlier attempt that were resumed keep their times.
        if step.started_at is not None and step.started_at >= started_at
    )
    segments: list[Segment] = []
    time, kind = started_at, SegmentKind.DOWNLOAD
    for start, end, name in ran:
        if start > time:
            segments.append(Segment(kind=kind, started_at=time, ended_at=start))
        time, kind = max(start, end), SegmentKind.UPLOAD
        segments.append(
            Segment(kind=SegmentKind.COMPUTE, step=name, started_at=start, ended_at=time)
        )
    if ended_at > time:
        segments.append(Segment(kind=kind, started_at=time, ended_at=ended_at))
    return segments


def with_waits(ready_at: float, segments: Iterable[Segment], until: float) -> tuple[Segment, ...]:
    """Return segments with a wait before the first one, and after each lost attempt.

    Args:
        ready_at: Time at which the job could have started.
        segments: Segments of the job, those of lost attempts included.
        until: End of the last wait if nothing follows.
    """
    filled: list[Segment] = []
    time, is_lost = ready_at, True
    for segment in sorted(segments, key=lambda segment: segment.started_at):
        if is_lost and segment.started_at - time > _SHORTEST_S:
            wait = Segment(kind=SegmentKind.WAITING, started_at=time, ended_at=segment.started_at)
            filled.append(wait)
        filled.append(segment)
        time, is_lost = max(time, segment.ended_at), segment.kind is SegmentKind.LOST
    if is_lost and until - time > _SHORTEST_S:
        filled.append(Segment(kind=SegmentKind.WAITING, started_at=time, ended_at=until))
    return tuple(filled)
