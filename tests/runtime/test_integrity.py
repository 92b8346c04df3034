from __future__ import annotations

import hashlib
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import step
from flowyml_aws.artifacts.layout import artifact_key
from flowyml_aws.packaging.bundle import make_bundle
from flowyml_aws.packaging.project import Project
from flowyml_aws.runtime.result import StepState, read_result
from tests.runtime.harness import Ended, WrittenRun, run_runner

pytestmark = pytest.mark.contract


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.fixture
def run(tmp_path: Path) -> WrittenRun:
    @step(outputs=["n"])
    def give() -> int:
        return 1

    return WrittenRun(tmp_path, give)


@pytest.fixture
def bundled(tmp_path: Path) -> WrittenRun:
    """A run whose job runs in a bundle of one file."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "data.txt").write_text("from the bundle")

    @step(outputs=["text"])
    def read() -> str:
        return Path("data.txt").read_text()

    bundle = make_bundle({"data.txt": project / "data.txt"})
    return WrittenRun(tmp_path, read, project=Project(project, project, ()), bundle=bundle)


def overwrite(run: WrittenRun, key: str, data: bytes) -> None:
    run.store.put(key, data)


def spec_key(run: WrittenRun) -> str:
    """Return the key of the pack with the spec of the run's first job."""
    return run.layout.specs(run.record.specs[run.spec().job].pack)


def run_spec(run: WrittenRun, spec: bytes) -> Ended:
    """Run the runner with a spec that differs from the written spec."""
    key = run.layout.specs(1)
    run.store.put(key, spec)
    digest = hashlib.sha256(spec).hexdigest()
    argument = f"{run.store.uri}/{key}#sha256={digest},bytes=0+{len(spec)}"
    return run_runner(argument, run.folder)


def test_a_trap_springs_when_it_is_unpickled(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


def test_a_spec_that_changed_is_refused(run: WrittenRun) -> None:
    key = spec_key(run)
    overwrite(run, key, run.store.get(key).replace(b'"pipeline"', b'"pipelinE"'))
    ended = run.run()
    assert ended.code == 11
    assert f"{run.store.uri}/{key} does not contain the spec that was submitted" in ended.log
    assert not run.has_result()  # its run and job are unknown


def test_a_spec_that_was_cut_off_is_refused(run: WrittenRun) -> None:
    key = spec_key(run)
    overwrite(run, key, run.store.get(key)[:100])
    ended = run.run()
    assert ended.code == 11
    assert f"{run.store.uri}/{key} is too short" in ended.log


def test_a_spec_without_its_digest_is_refused(run: WrittenRun) -> None:
    ended = run_runner(run.argument().partition("#")[0], run.folder)
    assert ended.code == 11
    assert "is not the argument of a job" in ended.log


def test_the_argument_of_an_earlier_version_says_to_use_one_version(run: WrittenRun) -> None:
    uri = f"{run.store.uri}/{run.layout.prefix}jobs/give/spec.json"
    ended = run_runner(f"{uri}#sha256={'0' * 64}", run.folder)
    assert ended.code == 11
    assert "use the same version of flowyml-aws in the client and in the image" in ended.log


def test_a_spec_of_another_version_says_which_version_to_use(run: WrittenRun) -> None:
    data = run.spec().to_json().replace(b'"version": 1', b'"version": 99')
    ended = run_spec(run, data)
    assert ended.code == 11
    assert "use the version of flowyml-aws that wrote it" in ended.log


def test_a_payload_that_changed_is_refused_before_it_is_unpickled(
    run: WrittenRun, tmp_path: Path
) -> None:
    key = run.spec().payload.key
    overwrite(run, key, pickle.dumps(Trap(tmp_path / "sprung")))
    ended = run.run()
    assert ended.code == 11
    assert not (tmp_path / "sprung").exists()
    failure = run.result().failure
    assert failure is not None and failure.kind == "DamagedArtifactError"
    assert f"{run.store.uri}/{key}" in failure.message
    assert "nothing was unpickled" in failure.text


def test_a_large_value_that_changed_is_refused_before_it_is_unpickled(tmp_path: Path) -> None:
    @step(outputs=["size"])
    def size(data: bytes) -> int:
        return len(data)

    run = WrittenRun(tmp_path, size, context={"data": bytes(2**24 + 1)})
    (stored,) = run.spec().large_values
    overwrite(run, stored.key, pickle.dumps(Trap(tmp_path / "sprung")))
    assert run.run().code == 11
    assert not (tmp_path / "sprung").exists()
    failure = run.result().failure
    assert failure is not None and f"{run.store.uri}/{stored.key}" in failure.message


def test_a_missing_payload_is_named(run: WrittenRun) -> None:
    key = run.spec().payload.key
    run.store.path(key).unlink()
    assert run.run().code == 11
    failure = run.result().failure
    assert failure is not None and key in failure.message


def test_a_job_runs_in_its_bundle(bundled: WrittenRun) -> None:
    assert bundled.run().code == 0
    assert bundled.value("text") == "from the bundle"


def test_a_bundle_that_changed_is_refused(bundled: WrittenRun, tmp_path: Path) -> None:
    stored = bundled.spec().code.bundle
    assert stored is not None
    (tmp_path / "other").write_text("other")
    overwrite(bundled, stored.key, make_bundle({"data.txt": tmp_path / "other"}).data)
    assert bundled.run().code == 11
    failure = bundled.result().failure
    assert failure is not None and stored.key in failure.message


def test_a_different_python_version_is_a_failure_that_names_both(run: WrittenRun) -> None:
    # The payload is damaged as well: the version is checked first.
    overwrite(run, run.spec().payload.key, b"bytecode of another version")
    ended = run_spec(run, run.spec().model_copy(update={"python": "3.7"}).to_json())
    assert ended.code == 11
    failure = run.result().failure
    assert failure is not None
    assert failure.message == (
        f"Python version mismatch: {sys.version_info.major}.{sys.version_info.minor} in the job, "
        "3.7 on the client"
    )
    assert "use an image with Python 3.7" in failure.text


def two_jobs(tmp_path: Path) -> WrittenRun:
    @step(outputs=["data"])
    def make() -> list[int]:
        return [1, 2, 3]

    @step(inputs=["data"])
    def take(data: list[int]) -> None:
        pass

    run = WrittenRun(tmp_path, make, take)
    runner = run.runner("make")
    assert runner.run()
    runner.attempt.commit("succeeded")
    return run


def test_a_damaged_asset_is_named_with_its_key_and_no_step_is_blamed(tmp_path: Path) -> None:
    run = two_jobs(tmp_path)
    key = artifact_key(run.result("make").assets["data"].sha256)
    overwrite(run, key, b"[1,2,4]")
    ended = run.run("take")
    assert ended.code == 11
    failure = run.result("take").failure
    assert failure is not None and failure.kind == "DamagedArtifactError"
    assert "'data'" in failure.message and key in failure.message
    assert failure.text in ended.log
    report = run.report("take", "take")
    assert (report.state, report.failure) == (StepState.FAILED, None)
    assert report.reason is not None and report.reason.startswith("the job failed: ")


def test_a_result_has_the_damaged_assets_and_the_repetitions_that_produced_them(
    tmp_path: Path,
) -> None:
    run = two_jobs(tmp_path)
    overwrite(run, artifact_key(run.result("make").assets["data"].sha256), b"[1,2,4]")
    run.run("take")
    assert run.result("take").damaged == {"data": 0}


def test_a_repetition_ignores_the_results_before_it_and_stores_its_own(tmp_path: Path) -> None:
    run = two_jobs(tmp_path)
    overwrite(run, artifact_key(run.result("make").assets["data"].sha256), b"[1,2,4]")
    first = run.result("make")
    run.run("take")
    repetitions = {"FLOWYML_REPETITIONS": "make=1,take=1"}
    assert run.run("make", FLOWYML_ATTEMPT="2", **repetitions).code == 0
    assert run.run("take", FLOWYML_ATTEMPT="2", **repetitions).code == 0
    again = read_result(run.store, run.layout.run_id, "make", 1)
    assert again is not None and (again.attempt, again.steps[0].state) == (2, StepState.SUCCEEDED)
    assert run.result("make") == first
    assert run.events(2, "make").repetition == 1


def test_a_missing_asset_is_named_with_its_key(tmp_path: Path) -> None:
    run = two_jobs(tmp_path)
    key = artifact_key(run.result("make").assets["data"].sha256)
    run.store.path(key).unlink()
    assert run.run("take").code == 11
    failure = run.result("take").failure
    assert failure is not None and failure.kind == "ArtifactNotFoundError"
    assert "'data'" in failure.message and key in failure.text


def test_a_job_that_starts_before_its_parent_names_the_missing_result(tmp_path: Path) -> None:
    run = two_jobs(tmp_path)
    run.store.path(run.layout.result("make")).unlink()
    assert run.run("take").code == 11
    failure = run.result("take").failure
    assert failure is not None and failure.message == "Job 'make' has no result"


def test_a_damaged_result_is_not_taken_for_a_missing_result(tmp_path: Path) -> None:
    run = two_jobs(tmp_path)
    overwrite(run, run.layout.result("make"), b"{")
    assert run.run("take").code == 11
    failure = run.result("take").failure
    assert failure is not None and run.layout.result("make") in failure.message
