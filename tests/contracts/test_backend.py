"""The contract of all backends, tested through the runs that a user sees."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from flowyml_aws import Run
from flowyml_aws.client.result import OutputNotFoundError, PipelineResult
from flowyml_aws.core.errors import RunNotFoundError
from flowyml_aws.runtime.result import StepState
from flowyml_aws.services.connect import find_run
from flowyml_aws.submission.backend import JobState, Samples
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import JobView
from tests.contracts.conftest import BACKENDS
from tests.support.rigs import BackendRig, eventually, new_rig

START = """
import sys
from flowyml_aws.cli.load import load_pipeline
pipeline = load_pipeline("waiting.py")
run = pipeline.submit(backend=sys.argv[1], context={"trace": sys.argv[2]})
print(run.id, flush=True)
run.wait()
"""


class Finished(NamedTuple):
    """A finished run of the pipeline `branches`, shared by all tests that only read it."""

    rig: BackendRig
    run: Run
    result: PipelineResult

    def job(self, name: str) -> JobView:
        return next(view for view in self.result.status.jobs if view.job.name == name)


@pytest.fixture(params=BACKENDS, scope="module")
def finished(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Finished]:
    rig = new_rig(request.param, tmp_path_factory.mktemp("finished"), request)
    with rig.entered():
        run = rig.pipeline("branches").submit(backend=rig.backend)
        yield Finished(rig, run, run.wait())


@pytest.fixture
def started(rig: BackendRig) -> Run:
    """A run of the pipeline `waiting` whose first job waits for a file."""
    run = rig.pipeline("waiting").submit(backend=rig.backend)
    eventually(lambda: "wait" in rig.ran(), "the first job waiting")
    return run


def release_first_job(rig: BackendRig) -> None:
    Path(f"{rig.trace}.go").touch()


def states(run: Run) -> dict[str, JobState]:
    return {view.job.name: view.state for view in run.status().jobs}


def test_each_step_runs_once_and_in_order(finished: Finished) -> None:
    ran = finished.rig.ran()
    for before, after in (
        ("load", "clean"),
        ("clean", "left"),
        ("left", "join"),
        ("right", "join"),
    ):
        assert ran.index(before) < ran.index(after)
    assert len(ran) == len(set(ran)) + 2  # one step is retried twice


def test_independent_jobs_run_at_the_same_time(finished: Finished) -> None:
    # Each of the two jobs ends only after the other has started.
    assert finished.result.outputs["joined"] == {"sum": 6, "max": 3, "min": 1}


def test_a_failed_step_fails_the_run_and_keeps_other_outputs(
    finished: Finished,
) -> None:
    result = finished.result
    assert (result.success, result.state) == (False, "failed")
    assert result["left_sum"] == 6


def test_descendants_of_a_failed_job_are_blocked(finished: Finished) -> None:
    view = finished.job("downstream_of_failure")
    assert (view.state, view.reason) == (JobState.BLOCKED, "bad did not succeed")
    assert finished.result.status.steps["downstream_of_failure"].state is StepState.NOT_RUN
    assert not {"after_failure", "downstream_of_failure"} & set(finished.rig.ran())


def test_the_result_has_the_users_traceback_with_the_failed_line(finished: Finished) -> None:
    step = finished.result.step_results["fail"]
    assert step.error is not None and not step.success
    assert 'raise ValueError(f"no luck with {clean} – ü")' in step.error
    assert "ValueError: no luck with [1, 2, 3] – ü" in step.error
    assert "flowyml_aws/runtime" not in step.error


def test_the_job_names_the_failed_step_and_its_error(finished: Finished) -> None:
    view = finished.job("bad")
    assert view.reason == "step 'fail': ValueError: no luck with [1, 2, 3] – ü"
    assert finished.rig.ran().count("fail") == 1  # not repeated


def test_a_step_is_retried_up_to_its_limit(finished: Finished) -> None:
    step = finished.result.step_results["fail_twice"]
    assert (step.success, step.retries, step.output) == (True, 2, 3)


def test_a_step_is_stopped_at_its_timeout(finished: Finished) -> None:
    error = finished.result.step_results["take_too_long"].error
    assert error is not None and "StepTimeout: it ran longer than its timeout of 0.2 s" in error


def test_a_process_that_dies_without_a_result_fails_its_job_and_step(finished: Finished) -> None:
    view = finished.job("crash")
    assert view.state is JobState.FAILED
    assert view.reason is not None and "code 3" in view.reason
    assert finished.result.step_results["crash"].error == f"{view.reason}\n"


def test_a_false_condition_skips_the_step_and_its_readers_in_other_jobs(
    finished: Finished,
) -> None:
    steps = finished.result.step_results
    assert steps["perhaps"].skipped and steps["downstream_of_skipped"].skipped
    assert steps["unrelated_to_skipped"].output == 3
    assert finished.job("perhaps").state is JobState.SUCCEEDED


def test_an_output_of_a_skipped_step_is_an_error_that_names_the_condition(
    finished: Finished,
) -> None:
    for name in ("more", "downstream_of_skipped"):
        with pytest.raises(OutputNotFoundError, match=name) as caught:
            finished.result[name]
        assert caught.value.why == "the condition of step 'perhaps' is false"
    assert "does not exist: the condition of step 'perhaps'" in finished.result.summary()
    assert finished.result.step_results["downstream_of_skipped"].output is None


def test_several_outputs_are_available_by_asset_and_by_step(finished: Finished) -> None:
    assert finished.result["right_max"] == 3
    assert finished.result["right"] == {"right_max": 3, "right_min": 1}


def test_a_file_is_returned_as_a_file(finished: Finished) -> None:
    picture = finished.result["picture"]
    assert (picture.name, picture.read_text()) == ("picture.txt", "******")


def test_a_jobs_log_has_the_output_of_its_steps(finished: Finished) -> None:
    lines = [line.message for line in finished.run.logs("prepare")]
    assert "loaded ünïcode ✓ 数据" in lines
    assert not any("no luck" in line for line in lines)


def test_the_log_of_a_failed_job_has_the_traceback(finished: Finished) -> None:
    text = "\n".join(line.message for line in finished.run.logs("bad"))
    assert "ValueError: no luck with [1, 2, 3] – ü" in text


def test_all_logs_come_in_plan_order_with_the_names_of_their_jobs(finished: Finished) -> None:
    jobs = list(dict.fromkeys(line.job for line in finished.run.logs()))
    assert jobs == [
        job.name for job in finished.run.plan.jobs if job.name != "downstream_of_failure"
    ]


def test_a_log_of_an_unknown_job_is_an_error_that_names_the_jobs(finished: Finished) -> None:
    with pytest.raises(RunNotFoundError, match="prepare"):
        finished.run.logs("preparation")


def test_another_client_gets_the_same_result(finished: Finished) -> None:
    again = Run.attach(finished.run.id).result()
    assert again.to_dict() == finished.result.to_dict()
    assert dict(again.outputs).keys() == dict(finished.result.outputs).keys()


def test_cancelling_a_run_that_has_ended_changes_nothing(finished: Finished) -> None:
    other = Run.attach(finished.run.id)
    other.cancel()
    assert Run.attach(finished.run.id).status() == finished.result.status


def test_any_client_sees_running_and_waiting_jobs_of_a_submitted_run(
    rig: BackendRig, started: Run
) -> None:
    expected = [JobState.RUNNING, JobState.WAITING, JobState.WAITING]
    # A listing may show the new state later.
    eventually(lambda: [*states(Run.attach(started.id)).values()] == expected, "the first running")
    eventually(
        lambda: Run.attach(started.id).status().steps["wait"].state is StepState.RUNNING,
        "the step reported as running",
    )
    started.cancel()


def test_another_client_can_wait_for_a_run(rig: BackendRig, started: Run) -> None:
    release_first_job(rig)
    result = Run.attach(started.id).wait()
    assert result.success
    assert result["d"] == "it is 42"
    assert rig.ran() == ["begin", "wait", "double", "summarize"]


def test_cancel_stops_running_jobs_and_starts_no_more(rig: BackendRig, started: Run) -> None:
    def is_active() -> bool:
        backend = find_run(started.id).backend
        assert isinstance(backend, Samples) == (rig.backend != "local")
        return isinstance(backend, Samples) and backend.is_active(started.plan.jobs)

    # A listing may show a new job, or its end, later.
    eventually(lambda: is_active() or rig.backend == "local", "the first job listed as active")
    Run.attach(started.id).cancel()
    result = started.wait()
    assert result.state == "cancelled"
    eventually(lambda: not is_active(), "no job listed as active")
    assert set(states(started).values()) == {JobState.CANCELLED}
    release_first_job(rig)
    assert Run.attach(started.id).wait().state == "cancelled"
    assert rig.ran() == ["begin", "wait"]


def test_another_client_can_replace_a_killed_client(rig: BackendRig) -> None:
    rig.write("waiting")
    with rig.client("-c", START, rig.backend, str(rig.trace)) as client:
        run_id = client.stdout.readline().strip()
        eventually(lambda: "wait" in rig.ran(), "the first job waiting")
        client.kill()
    run = Run.attach(run_id)
    assert run.status().state is RunState.RUNNING
    release_first_job(rig)
    result = run.wait()
    assert (result.success, result["d"]) == (True, "it is 42")
    assert rig.ran() == ["begin", "wait", "double", "summarize"]


def test_long_logs_are_followed_to_the_end(rig: BackendRig) -> None:
    run = rig.pipeline("noisy", lines=10_000).submit(backend=rig.backend)
    followed = list(run.logs(follow=True))
    shouted = [line.message for line in followed if line.message.startswith("line ")]
    assert shouted == [f"line {number} ✓" for number in range(10_000)]
    assert "heard 10000 – grüße" in [line.message for line in followed if line.job == "whisper"]
    assert run.status().state is RunState.SUCCEEDED


def test_reused_outputs_start_no_job(rig: BackendRig, started: Run) -> None:
    release_first_job(rig)
    first = started.wait()
    again = rig.pipeline("waiting").run(backend=rig.backend, progress=False)
    assert (again.success, again["d"]) == (True, first["d"])
    assert not again.status.jobs
    assert all(step.cached for step in again.step_results.values())
    assert rig.ran() == ["begin", "wait", "double", "summarize"]


def test_following_a_jobs_log_ends_with_that_job(rig: BackendRig, started: Run) -> None:
    followed = started.logs("first", follow=True)
    assert "waiting" in (line.message for line in followed)
    release_first_job(rig)
    assert any("wait: succeeded" in line.message for line in followed)
    assert not states(started)["summarize"].ended
    started.cancel()


def test_another_client_can_replace_an_interrupted_client(rig: BackendRig) -> None:
    rig.write("waiting")
    with rig.client("-c", START, rig.backend, str(rig.trace)) as client:
        run_id = client.stdout.readline().strip()
        eventually(lambda: "wait" in rig.ran(), "the first job waiting")
        client.send_signal(signal.SIGINT)
        client.wait(timeout=30)
    release_first_job(rig)
    result = Run.attach(run_id).wait()
    assert (result.success, result["d"]) == (True, "it is 42")
