"""The known parts of the start of a job."""

from __future__ import annotations

from flowyml_aws.runtime.usage import JobUsage, Phase, PhaseKind, RunnerStart
from flowyml_aws.submission.starts import JobStart, StartKind, start_of
from flowyml_aws.submission.times import JobTimes


def a_usage(**changes: object) -> JobUsage:
    """Return the document of an attempt whose process started at 100."""
    fields: dict[str, object] = {
        "attempt": 1,
        "started_at": 102.0,
        "period_s": 1.0,
        "series": (),
        "steps": {},
        "phases": (
            Phase(kind=PhaseKind.CODE, started_at=102, ended_at=103),
            Phase(kind=PhaseKind.PROGRAM, started_at=103, ended_at=107),
            Phase(kind=PhaseKind.INPUTS, step="fit", started_at=107, ended_at=108),
            Phase(kind=PhaseKind.STEP, step="fit", started_at=109, ended_at=200),
            Phase(kind=PhaseKind.STEP, step="test", started_at=200, ended_at=201),
        ),
        "machine_started_at": 30.0,
        "pull_started_at": 60.0,
        "pull_ended_at": 90.0,
        "start": RunnerStart(process_at=100.0, imported_at=101.0),
        **changes,
    }
    return JobUsage.model_validate(fields)


def shown(start: JobStart | None) -> dict[str, float]:
    assert start is not None
    return {str(part): part.seconds for part in start.parts}


def test_all_parts_of_a_start_on_a_new_instance() -> None:
    start = start_of(JobTimes(started_at=95.0), a_usage(), 10.0, 102.0, False)
    assert shown(start) == {
        "queue": 20,
        "instance": 30,
        "image": 30,
        "container": 10,
        "python": 1,
        "code": 2,
        "imports": 4,
        "inputs": 2,
    }
    assert start is not None and start.absent == () and start.seconds == 99


def test_an_instance_that_was_there_has_not_started() -> None:
    start = start_of(JobTimes(started_at=95.0), a_usage(machine_started_at=5.0), 10.0, None, False)
    assert start is not None and start.absent == (StartKind.INSTANCE,)
    assert start.part_of(StartKind.QUEUE) == start.parts[0]
    assert start.parts[0].seconds == 50


def test_without_times_of_the_pull_only_sums_are_known() -> None:
    usage = a_usage(pull_started_at=None, pull_ended_at=None, machine_started_at=None)
    start = start_of(JobTimes(started_at=95.0), usage, 10.0, None, False)
    assert shown(start)["queue and instance and image"] == 85
    booted = a_usage(pull_started_at=None, pull_ended_at=None)
    start = start_of(JobTimes(started_at=95.0), booted, 10.0, None, False)
    assert list(shown(start).items())[:3] == [
        ("queue", 20),
        ("instance and image", 65),
        ("container", 5),
    ]


def test_a_service_that_reports_everything_needs_no_document_of_the_job() -> None:
    times = JobTimes(
        queued_at=10.0,
        launched_at=20.0,
        pull_started_at=60.0,
        pull_ended_at=90.0,
        started_at=95.0,
    )
    start = start_of(times, None, 5.0, None, False)
    assert shown(start) == {"queue": 10, "instance": 40, "image": 30, "container": 5}
    assert start is not None and start.seconds is None
    assert start.part_of(StartKind.PYTHON) is None and start.absent == ()


def test_a_process_of_this_machine_needs_no_instance_and_no_image() -> None:
    start = start_of(JobTimes(started_at=99.9), a_usage(), 99.0, 102.0, True)
    assert shown(start) == {"queue": 1, "python": 1, "code": 2, "imports": 4, "inputs": 2}
    assert start is not None
    assert start.absent == (StartKind.INSTANCE, StartKind.IMAGE, StartKind.CONTAINER)


def test_a_document_of_an_earlier_version_has_sums() -> None:
    phases = (
        Phase(kind=PhaseKind.CODE, started_at=102, ended_at=107),
        Phase(kind=PhaseKind.STEP, step="fit", started_at=109, ended_at=200),
    )
    usage = a_usage(start=None, phases=phases)
    start = start_of(JobTimes(started_at=95.0), usage, 10.0, None, False)
    assert shown(start) == {
        "queue": 20,
        "instance": 30,
        "image": 30,
        "container and python and code and imports": 17,
        "inputs": 2,
    }
    assert start is not None and start.seconds == 99


def test_clocks_that_differ_give_no_negative_parts() -> None:
    usage = a_usage(pull_started_at=60.0, pull_ended_at=98.0)
    start = start_of(JobTimes(started_at=95.0), usage, 10.0, None, False)
    assert start is not None and min(part.seconds for part in start.parts) >= 0
    assert start.seconds == 99


def test_a_service_that_notices_a_start_later_shortens_no_part_of_the_runner() -> None:
    times = JobTimes(queued_at=10.0, launched_at=20.0, started_at=150.0)
    start = start_of(times, a_usage(), 10.0, None, False)
    assert start is not None and start.seconds == 99
    assert shown(start)["python"] == 1


def test_a_wait_is_unknown_if_the_clocks_of_service_and_machine_differ() -> None:
    start = start_of(JobTimes(queued_at=500.0, started_at=510.0), a_usage(), 10.0, None, False)
    assert start is not None and start.seconds is None and start.absent == ()
    assert shown(start) == {"python": 1, "code": 2, "imports": 4, "inputs": 2}


def test_a_job_that_has_not_started_has_no_start() -> None:
    assert start_of(JobTimes(queued_at=3.0), None, 1.0, None, False) is None
