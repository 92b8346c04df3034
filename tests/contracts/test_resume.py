"""Runs that continue failed and cancelled ones, on every backend."""

from __future__ import annotations

import os
from pathlib import Path

import boto3
import pytest

from flowyml_aws import Run
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.core.errors import InvalidPipelineError, RunNotResumableError
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.status import failures
from tests.support.rigs import BackendRig, eventually

# The rules are the same for all backends.
locally = pytest.mark.parametrize(
    "rig", [pytest.param("local", marks=pytest.mark.contract)], indirect=True
)


@pytest.fixture
def failed(rig: BackendRig) -> Run:
    """A run whose group `train` failed in its last step, and then would not."""
    run = rig.pipeline("resuming").submit(backend=rig.backend)
    assert not run.wait().success
    Path(f"{rig.trace}.go").touch()
    return run


def test_only_what_is_not_finished_is_executed(rig: BackendRig, failed: Run) -> None:
    assert rig.ran() == ["load", "clean", "weigh", "train"]
    resumed = failed.resume()
    result = resumed.wait()
    assert result.success, result.summary()
    # `clean` is stored, `weigh` is not.
    assert rig.ran()[4:] == ["weigh", "train", "score"]
    assert (result["score"], result["model"], result["raw"]) == (21, 7, [3, 1, 2])
    steps = resumed.status().steps
    states = {name: report.state for name, report in steps.items()}
    assert states == {
        "load": StepState.CACHED,
        "perhaps": StepState.SKIPPED,
        "clean": StepState.CACHED,
        "weigh": StepState.SUCCEEDED,
        "train": StepState.SUCCEEDED,
        "score": StepState.SUCCEEDED,
        "skip": StepState.SKIPPED,
    }
    assert steps["clean"].reason == f"completed in run {failed.id}"
    assert resumed.id != failed.id
    assert Run.attach(resumed.id).outputs["score"] == 21

    with pytest.raises(RunNotResumableError, match="has succeeded"):
        Run.attach(resumed.id).resume()


@locally
def test_mistakes_are_reported_together_before_anything_is_submitted(
    rig: BackendRig, failed: Run
) -> None:
    with pytest.raises(InvalidPipelineError) as caught:
        failed.resume({"trian": {"memory": "1Gi"}, "load": {"cpu": 2}, "train": {"memory": "1Q"}})
    unknown, finished, malformed = caught.value.problems
    assert "'trian'" in unknown.what and "did you mean 'train'" in unknown.fix
    assert finished.why == "its job has succeeded"
    assert "1Q" in str(malformed)
    assert len(rig.ran()) == 4


@locally
def test_a_job_can_get_other_resources(rig: BackendRig, failed: Run) -> None:
    resumed = failed.resume({"train": {"memory": "3Gi"}})
    job = resumed.jobs["train"].planned
    before = failed.jobs["train"].planned
    assert (before.needs.memory_mib, job.needs.memory_mib) == (2048, 3072)
    assert job.needs.vcpus == before.needs.vcpus
    assert resumed.wait()["score"] == 21


@locally
def test_a_resumed_run_that_fails_can_be_resumed(rig: BackendRig) -> None:
    first = rig.pipeline("resuming").submit(backend=rig.backend)
    first.wait()
    second = first.resume()
    assert not second.wait().success
    Path(f"{rig.trace}.go").touch()
    third = second.resume()
    assert third.wait()["score"] == 21
    assert rig.ran().count("load") == rig.ran().count("clean") == 1
    assert [note for note in third.plan.notes if "resumes" in note] == [
        f"it resumes run {second.id}"
    ]


@locally
def test_a_value_that_was_deleted_is_produced_again(rig: BackendRig, failed: Run) -> None:
    (ref,) = failed.refs("raw").values()
    Path(ref.uri.removeprefix("file://")).unlink()
    assert failed.resume().wait()["score"] == 21
    assert rig.ran().count("load") == 2
    assert rig.ran().count("clean") == 1


def start_damaged(rig: BackendRig, pipeline: str) -> Run:
    """Return a run in which `wait` has read the value `raw`, and that was then damaged."""
    run = rig.pipeline(pipeline).submit(backend=rig.backend)

    def is_waiting() -> bool:
        run.advance()
        return "wait" in rig.ran()

    eventually(is_waiting, "the step that waits")
    damage(run.refs("raw")["raw"])
    Path(f"{rig.trace}.go").touch()
    return run


def damage(ref: ArtifactRef) -> None:
    """Change a value as a broken disk does: it keeps its size."""
    if ref.uri.startswith("file://"):
        Path(ref.uri.removeprefix("file://")).write_bytes(b"x" * ref.size_bytes)
        return
    bucket, _, key = ref.uri.removeprefix("s3://").partition("/")
    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    client.delete_object(Bucket=bucket, Key=key)  # the user may not replace it
    client.put_object(Bucket=bucket, Key=key, Body=b"x" * ref.size_bytes, IfNoneMatch="*")


def test_a_damaged_value_is_produced_again_within_its_run(rig: BackendRig) -> None:
    run = start_damaged(rig, "damaging:pipeline")
    assert run.wait()["score"] == 24
    assert rig.ran() == ["load", "wait", "load", "score"]
    fresh = Run.attach(run.id)
    assert fresh.outputs["raw"] == [3, 1, 2]
    status = fresh.status()
    assert [(move.job, move.repeats) for move in status.moves] == [
        ("load", "succeeded"),
        ("score", "failed"),
    ]
    # The emulator fails some starts of containers, which count, too.
    assert all(status.lost[move.job].count >= move.lost.count >= 1 for move in status.moves)


@locally
def test_a_damaged_value_that_another_job_has_read_is_an_error_if_it_may_differ(
    rig: BackendRig,
) -> None:
    run = start_damaged(rig, "damaging:uncached")
    assert not run.wait().success
    (failure,) = failures(run.status())
    (text,) = failure.tracebacks
    assert text.startswith("The value of asset 'raw' is damaged: ")
    assert "why: expected 7 bytes with SHA-256 " in text
    assert f"fix: run `flowyml-aws resume {run.id}`, which produces it again" in text
    resumed = run.resume()
    assert resumed.wait()["score"] == 24
    assert rig.ran() == ["load", "wait", "load", "score"]
    assert resumed.outputs["raw"] == [3, 1, 2]


@locally
def test_a_damaged_value_of_an_earlier_run_is_an_error_with_the_step_that_produces_it(
    rig: BackendRig,
) -> None:
    first = start_damaged(rig, "damaging:pipeline")
    assert first.wait().success
    damage(first.refs("raw")["raw"])
    again = rig.pipeline("damaging:pipeline").submit(backend=rig.backend)  # it reuses `raw`
    assert not again.wait().success
    (failure,) = failures(again.status())
    assert "--refresh and the name of the step" in failure.tracebacks[0]
    with pytest.raises(RunNotResumableError) as caught:
        again.resume()
    assert (
        caught.value.what
        == f"Run {again.id} can't be resumed: a value that it reused is missing or damaged"
    )
    assert "'raw'" in caught.value.why
    assert "--refresh load" in caught.value.fix
    assert rig.pipeline("damaging:pipeline").run(refresh=["load"], progress=False)["score"] == 24


@locally
def test_a_run_that_still_runs_is_not_resumed(rig: BackendRig) -> None:
    run = rig.pipeline("waiting").submit(backend=rig.backend)
    try:
        with pytest.raises(RunNotResumableError, match="still running"):
            run.resume()
    finally:
        run.cancel()


@locally
def test_with_checkpoints_only_the_failed_step_of_a_group_is_repeated(rig: BackendRig) -> None:
    run = rig.pipeline("resuming").submit(backend=rig.backend, checkpoint_steps=True)
    assert set(run.jobs["train"].planned.stored) == {"clean", "weights", "model"}
    assert not run.wait().success
    Path(f"{rig.trace}.go").touch()
    assert run.resume().wait()["score"] == 21
    assert rig.ran() == ["load", "clean", "weigh", "train", "train", "score"]
