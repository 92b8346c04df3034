from __future__ import annotations

from flowyml_aws.report.data import Segment, SegmentKind
from flowyml_aws.report.timeline import (
    estimated_segments,
    recorded_segments,
    waiting_segments,
    with_waits,
)
from flowyml_aws.runtime.result import StepReport, StepState
from flowyml_aws.runtime.usage import Phase, PhaseKind
from flowyml_aws.submission.times import Wait, WaitKind


def kinds(segments: list[Segment] | tuple[Segment, ...]) -> list[tuple[str, float, float]]:
    return [(each.kind.value, each.started_at, each.ended_at) for each in segments]


def a_step(name: str, started_at: float, ended_at: float | None) -> StepReport:
    return StepReport(name=name, state=StepState.RUNNING, started_at=started_at, ended_at=ended_at)


def test_recorded_phases_become_segments_with_their_steps() -> None:
    phases = [
        Phase(kind=PhaseKind.LAYER, started_at=1, ended_at=2),
        Phase(kind=PhaseKind.CODE, started_at=2, ended_at=3),
        Phase(kind=PhaseKind.STEP, step="fit", started_at=3, ended_at=9),
        Phase(kind=PhaseKind.OUTPUTS, step="fit", started_at=9, ended_at=10),
    ]
    segments = recorded_segments(phases)
    assert kinds(segments) == [
        ("pull", 1, 2),
        ("download", 2, 3),
        ("compute", 3, 9),
        ("upload", 9, 10),
    ]
    assert segments[2].step == "fit"


def test_without_phases_the_times_of_the_steps_are_used() -> None:
    steps = [a_step("load", 12, 14), a_step("fit", 15, 18)]
    assert kinds(estimated_segments(10, 20, steps, 20)) == [
        ("download", 10, 12),
        ("compute", 12, 14),
        ("upload", 14, 15),
        ("compute", 15, 18),
        ("upload", 18, 20),
    ]


def test_a_step_that_runs_lasts_until_now() -> None:
    assert kinds(estimated_segments(10, 30, [a_step("fit", 12, None)], 30))[-1] == (
        "compute",
        12,
        30,
    )


def test_steps_of_an_earlier_attempt_are_no_part_of_this_one() -> None:
    steps = [a_step("load", 2, 4), a_step("fit", 12, 20)]
    assert kinds(estimated_segments(10, 20, steps, 20)) == [
        ("download", 10, 12),
        ("compute", 12, 20),
    ]


def test_a_job_waits_before_its_first_attempt_and_after_a_lost_one() -> None:
    lost = Segment(kind=SegmentKind.LOST, started_at=5, ended_at=8)
    ran = Segment(kind=SegmentKind.COMPUTE, started_at=10, ended_at=20)
    assert kinds(with_waits(1, [ran, lost], 30)) == [
        ("waiting", 1, 5),
        ("lost", 5, 8),
        ("waiting", 8, 10),
        ("compute", 10, 20),
    ]


def test_a_job_that_has_not_started_waits_until_now() -> None:
    assert kinds(with_waits(1, [], 30)) == [("waiting", 1, 30)]


def test_the_reported_parts_of_a_wait_are_waiting_except_for_the_pull() -> None:
    waits = [
        Wait(WaitKind.QUEUE, 1, 3),
        Wait(WaitKind.START, 3, 4),
        Wait(WaitKind.PULL, 4, 8),
        Wait(WaitKind.START, 8, 9),
    ]
    assert kinds(waiting_segments(waits, 10)) == [
        ("waiting", 1, 3),
        ("waiting", 3, 4),
        ("pull", 4, 8),
        ("waiting", 8, 9),
        ("waiting", 9, 10),
    ]
    assert waiting_segments([], 10) == []
