"""Runs through FlowyML's interface: results, options, its record, status, logs and stopping."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flowyml", reason="needs FlowyML: `make flowyml` has it")

import flowyml
from flowyml.core.execution_status import ExecutionStatus
from flowyml.core.pipeline import PipelineResult
from flowyml.core.retry_policy import OrchestratorRetryPolicy
from flowyml.storage.metadata import SQLiteMetadataStore
from flowyml.utils.config import get_config

import flowyml_aws
from flowyml_aws.artifacts.errors import PickleRefusedError
from flowyml_aws.client.result import OutputNotFoundError
from flowyml_aws.client.run import Run
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.integrations.flowyml import FlowymlAws
from flowyml_aws.integrations.flowyml import outputs as outputs_module
from flowyml_aws.integrations.flowyml.outputs import StoredValue
from tests.integrations.flowyml.conftest import reset_flowyml, write_stacks
from tests.support.rigs import DEADLINE_S, BackendRig, eventually

pytestmark = pytest.mark.system


def step(**options: Any) -> Any:
    return flowyml.step(register=False, **options)


def pipeline_of(*steps: Any, **options: Any) -> Any:
    return flowyml.Pipeline("training", **options).add_steps(list(steps))


def test_a_completed_run_returns_a_result_of_flowyml(project: BackendRig) -> None:
    @step(outputs=["data"], execution_group="work")
    def load() -> list[int]:
        print("loading 3 numbers")
        return [1, 2, 3]

    @step(inputs=["data"], outputs=["mean", "top"], execution_group="work")
    def measure(data: list[int]) -> tuple[float, int]:
        return sum(data) / len(data), max(data)

    pipeline = pipeline_of(load, measure)
    result = pipeline.run(orchestrator=FlowymlAws(backend=project.backend))

    assert type(result) is PipelineResult
    assert (result.success, result.state) == (True, "completed")
    assert result.end_time is not None
    assert result.duration_seconds == (result.end_time - result.start_time).total_seconds() > 0
    assert list(result.step_results) == ["load", "measure"]
    assert all(outcome.success for outcome in result.step_results.values())
    assert (result["mean"], result["top"]) == (2.0, 3)
    assert result["measure"] == {"mean": 2.0, "top": 3}
    assert result.step_results["measure"].output == {"mean": 2.0, "top": 3}
    assert result["unknown"] is None
    assert "✓ SUCCESS" in result.summary()
    assert set(result.to_dict()["steps"]) == {"load", "measure"}

    recorded = pipeline.metadata_store.load_run(result.run_id)
    assert recorded["status"] == "completed"
    assert recorded["remote_job_id"] == result.remote_job_id
    assert recorded["steps"]["load"]["success"] is True
    assert result.run_id in [run["run_id"] for run in pipeline.metadata_store.list_runs()]

    # Another process can use FlowyML's id or the id of this package.
    other = FlowymlAws(backend=project.backend)
    for run_id in (result.run_id, result.remote_job_id):
        assert other.get_run_status(run_id) is ExecutionStatus.COMPLETED
        assert other.fetch_step_statuses(run_id) == dict.fromkeys(
            ("load", "measure"), ExecutionStatus.COMPLETED
        )
        assert "loading 3 numbers" in other.get_run_logs(run_id)


@pytest.mark.parametrize("backend", ["batch"])
def test_one_group_runs_on_another_service(project: BackendRig) -> None:
    @step(outputs=["data"])
    def load() -> list[int]:
        return [1, 2, 3]

    @step(inputs=["data"], outputs=["model"], execution_group="training")
    def fit(data: list[int]) -> int:
        return sum(data)

    write_stacks(project, '{type: flowyml_aws, backend: {training: sagemaker, "*": batch}}')
    result = pipeline_of(load, fit).run()
    assert (result.success, result["model"]) == (True, 6)
    targets = [job.target for job in Run.attach(result.remote_job_id).plan.jobs]
    assert targets[0] != targets[1] == "sagemaker"


def test_values_that_only_their_group_reads_are_stored_on_request(
    local_project: BackendRig,
) -> None:
    @step(outputs=["data"], execution_group="work")
    def load() -> int:
        return 1

    @step(inputs=["data"], outputs=["more"], execution_group="work")
    def add(data: int) -> int:
        return data + 1

    result = pipeline_of(load, add).run()
    with pytest.raises(OutputNotFoundError, match="'data' of this run is not stored") as caught:
        result["data"]
    assert "store_all" in caught.value.fix
    assert result.step_results["load"].output is None
    assert repr(result.step_results["load"]) == "StepOutcome('load', success=True)"
    assert set(result.outputs) == {"more", "add"}

    storing = FlowymlAws("local", store_all=True)
    result = pipeline_of(load, add).run(orchestrator=storing, refresh=["load"])
    assert dict(result.outputs) == {"data": 1, "load": 1, "more": 2, "add": 2}


def test_a_large_output_is_loaded_only_by_name(
    local_project: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs_module, "SHOWN_BYTES", 1000)

    @step(outputs=["large"])
    def make() -> bytes:
        return bytes(range(256)) * 8

    @step(outputs=["small"])
    def make_small() -> int:
        return 7

    pipeline = pipeline_of(make, make_small)
    result = pipeline.run()
    shown = dict(result.outputs.items())
    assert shown["small"] == 7
    assert isinstance(shown["large"], StoredValue)
    assert "2,048 bytes" in str(shown["large"])
    assert result["large"] == bytes(range(256)) * 8
    (asset,) = [a for a in pipeline.metadata_store.list_assets() if a["name"] == "large"]
    assert "2,048 bytes" in asset["value"]


def test_a_failed_step_does_not_raise_and_has_the_users_traceback(project: BackendRig) -> None:
    @step(outputs=["a"])
    def good() -> int:
        return 1

    @step(inputs=["a"], outputs=["b"], retry=1)
    def bad(a: int) -> int:
        raise RuntimeError("no luck today")

    @step(inputs=["b"], outputs=["c"])
    def never(b: int) -> int:
        return b

    pipeline = pipeline_of(good, bad, never)
    result = pipeline.run()
    assert (result.success, result.state) == (False, "failed")
    assert list(result.step_results) == ["good", "bad"]
    failed = result.step_results["bad"]
    assert (failed.success, failed.retries) == (False, 1)
    assert failed.error.startswith("no luck today\n")
    assert 'raise RuntimeError("no luck today")' in failed.error
    assert pipeline.metadata_store.load_run(result.run_id)["status"] == "failed"
    assert "no luck today" in result.summary()


def test_a_step_whose_process_was_killed_reports_the_signal(local_project: BackendRig) -> None:
    @step(outputs=["a"])
    def die() -> int:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)
        return 1

    result = pipeline_of(die).run()
    assert not result.success
    assert result.step_results["die"].error == (
        "its process was ended by SIGKILL: perhaps out of memory"
    )


def test_conditions_take_inputs_and_context_values(local_project: BackendRig) -> None:
    @step(outputs=["score"])
    def score() -> float:
        return 0.7

    @step(inputs=["score"], outputs=["yes"], condition=lambda score, limit: score > limit)
    def above(score: float) -> str:
        return "above"

    @step(inputs=["score"], outputs=["no"], condition=lambda score, limit: score <= limit)
    def below(score: float) -> str:
        return "below"

    pipeline = pipeline_of(score, above, below, context=flowyml.context(limit=0.5))
    result = pipeline.run()
    assert result.success
    assert (result["yes"], result["no"]) == ("above", None)
    assert {n: s.skipped for n, s in result.step_results.items()} == {
        "score": False,
        "above": False,
        "below": True,
    }
    result = pipeline.run(context={"limit": 0.9})
    assert (result["yes"], result["no"]) == (None, "below")


TYPO = "No step of pipeline 'training' takes 'epcohs' (did you mean 'epochs'?)"


def train(epochs: int = 10) -> int:
    return epochs


def test_an_unknown_context_name_of_a_run_has_the_same_report_everywhere(
    local_project: BackendRig,
) -> None:
    pipeline = pipeline_of(step(outputs=["model"])(train))
    with pytest.raises(InvalidPipelineError) as by_flowyml:
        pipeline.run(context={"epcohs": 9})
    assert TYPO in str(by_flowyml.value)

    same = flowyml_aws.Pipeline("training").add_step(flowyml_aws.step(outputs=["model"])(train))
    with pytest.raises(InvalidPipelineError) as by_pipeline:
        same.run(context={"epcohs": 9})
    assert str(by_flowyml.value) == str(by_pipeline.value)

    (local_project.folder / "training.py").write_text(
        "from flowyml_aws import Pipeline, step\n"
        "@step(outputs=['model'])\ndef train(epochs=10):\n    return epochs\n"
        "pipeline = Pipeline('training').add_step(train)\n"
    )
    code, _, stderr = local_project.command("run", "training.py", "--context", "epcohs=9")
    assert code == by_flowyml.value.exit_code
    assert str(by_flowyml.value) in stderr
    assert not (local_project.folder / ".flowyml" / "aws" / "runs").exists()


def test_only_the_context_of_the_run_is_checked_for_unknown_names(
    local_project: BackendRig,
) -> None:
    context = flowyml.context(epochs=2, note="no step takes this").inherit(owner="nor this")
    pipeline = pipeline_of(step(outputs=["model"])(train), context=context)
    assert pipeline.run()["model"] == 2
    with pytest.raises(InvalidPipelineError, match="takes 'epcohs'"):
        pipeline.run(context={"epcohs": 9})
    # FlowyML has added the rejected name to the pipeline's context.
    assert pipeline.run(context={"epochs": 3})["model"] == 3


def test_pickled_outputs_are_refused_on_request(local_project: BackendRig) -> None:
    @step(outputs=["odd"])
    def make() -> set[complex]:
        return {1j}

    pipeline = pipeline_of(make)
    assert pipeline.run()["odd"] == {1j}

    refusing = FlowymlAws("local", allow_pickle=False)
    result = pipeline.run(orchestrator=refusing)
    assert result.success
    with pytest.raises(PickleRefusedError, match="'odd'"):
        result["odd"]
    assert pipeline.run(orchestrator=refusing, allow_pickle=True)["odd"] == {1j}

    write_stacks(local_project, "{type: flowyml_aws, backend: local, allow_pickle: false}")
    reset_flowyml()
    with pytest.raises(PickleRefusedError, match="'odd'"):
        pipeline_of(make).run()["odd"]
    with pytest.raises(PickleRefusedError, match="'odd'"):
        pipeline.run(orchestrator=FlowymlAws("local"), allow_pickle=False)["odd"]


def test_with_flowymls_cache_disabled_every_step_is_executed(local_project: BackendRig) -> None:
    path = local_project.folder / "count.txt"

    @step(outputs=["a"])
    def count() -> int:
        path.write_text(path.read_text() + "x" if path.exists() else "x")
        return len(path.read_text())

    assert pipeline_of(count).run()["a"] == 1
    cached = pipeline_of(count).run()
    assert (cached["a"], cached.step_results["count"].cached) == (1, True)
    assert pipeline_of(count, enable_cache=False).run()["a"] == 2
    assert pipeline_of(count).run(refresh=["count"])["a"] == 3


def test_a_step_can_call_another_step(local_project: BackendRig) -> None:
    @step(outputs=["one"])
    def one() -> int:
        return 1

    @step(outputs=["two"])
    def two() -> int:
        return int(one()) + 1

    assert pipeline_of(two).run()["two"] == 2


class Greeting(flowyml.Step):  # type: ignore[misc]  # FlowyML ships no types
    def __init__(self, words: str, **options: Any) -> None:
        super().__init__(func=self.greet, name="greet", **options)
        self.words = words

    def greet(self, name: str) -> str:
        return f"{self.words}, {name}"


def test_evaluations_and_steps_of_other_classes_run(local_project: BackendRig) -> None:
    @step(outputs=["predictions", "targets"], execution_group="work")
    def predict() -> tuple[list[int], list[int]]:
        return [1, 0, 1, 1], [1, 0, 0, 1]

    greet = Greeting("Hello", outputs=["greeting"], execution_group="work")
    evaluation = flowyml.EvalStep(scorers=[flowyml.evals.Accuracy()])
    context = flowyml.context(name="Ada")
    result = pipeline_of(predict, greet, evaluation, context=context).run(
        resources={"cpu": "1", "memory": "1Gi"},
        retry_policy=OrchestratorRetryPolicy(max_attempts=2),
    )
    assert result.success
    assert result["greeting"] == "Hello, Ada"
    assert result["evaluation"].summary["accuracy"] == 0.75
    assert result.resource_config.memory == "1Gi"
    jobs = Run.attach(result.remote_job_id).plan.jobs
    assert [(job.name, job.needs.memory_mib) for job in jobs] == [
        ("work", 1024),
        ("evaluation", 1024),
    ]


def test_hooks_of_flowyml_are_called(local_project: BackendRig) -> None:
    calls: list[Any] = []
    flowyml_hooks = __import__("flowyml.core.hooks", fromlist=["hooks"])
    flowyml_hooks.on_pipeline_start(lambda pipeline: calls.append(("start", pipeline.name)))
    flowyml_hooks.on_step_end(lambda step, result: calls.append((step.name, result.output)))

    async def at_the_end(_: Any, result: Any) -> None:
        await asyncio.sleep(0)
        calls.append(("end", result.success))

    flowyml_hooks.on_pipeline_end(at_the_end)

    @step(outputs=["a"])
    def work() -> int:
        return 1

    pipeline_of(work).run()
    assert calls == [("start", "training"), ("work", 1), ("end", True)]


def test_a_record_that_cannot_be_written_is_a_warning(local_project: BackendRig) -> None:
    class Unwritable:
        """A context value that FlowyML cannot record."""

    @step(outputs=["a"])
    def work(number: int) -> int:
        return number

    pipeline = pipeline_of(work, context=flowyml.context(number=1, other=Unwritable()))
    with pytest.warns(UserWarning, match="FlowyML's record of run .* could not be written"):
        result = pipeline.run()
    assert (result.success, result["a"]) == (True, 1)


def test_a_failed_write_of_the_record_is_repeated_at_the_next_poll(
    local_project: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = str(local_project.folder / "recorded")

    @step(outputs=["a"])
    def work() -> int:
        for _ in range(600):
            if Path(recorded).exists():
                return 1
            time.sleep(0.1)
        raise TimeoutError("it was never recorded as running")

    pipeline = pipeline_of(work)
    save, refused = pipeline.metadata_store.save_run, list[Any]()

    def save_run(run_id: str, facts: dict[str, Any]) -> None:
        is_running = facts["steps"].get("work", {}).get("status") == "running"
        if is_running and not refused:
            refused.append(facts)
            raise OSError("database is locked")
        save(run_id, facts)
        if is_running:
            Path(recorded).touch()

    monkeypatch.setattr(pipeline.metadata_store, "save_run", save_run)
    with pytest.warns(UserWarning, match="could not be written: database is locked"):
        result = pipeline.run()
    assert (result.success, result["a"], len(refused)) == (True, 1, 1)


def test_a_versioned_pipeline_of_flowyml_runs(local_project: BackendRig) -> None:
    @step(outputs=["a"])
    def work() -> int:
        return 1

    versioned = flowyml.VersionedPipeline("training", version="v1.0.0").add_step(work)
    versioned.save_version()
    result = versioned.run()
    assert (result.success, result["a"]) == (True, 1)
    assert result.remote_job_id is not None


@contextmanager
def running(pipeline: Any, orchestrator: FlowymlAws, run_id: str) -> Iterator[list[Any]]:
    results: list[Any] = []

    def run() -> None:
        results.append(pipeline.run(orchestrator=orchestrator, run_id=run_id))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield results
    finally:
        thread.join(timeout=DEADLINE_S)
        assert not thread.is_alive()


def test_a_running_run_can_be_inspected_and_stopped(project: BackendRig) -> None:
    @step(outputs=["a"])
    def wait() -> None:
        print("waiting", flush=True)
        time.sleep(600)

    pipeline = pipeline_of(wait, enable_checkpointing=False)
    runner, observer = (FlowymlAws(backend=project.backend, progress=False) for _ in range(2))
    # A separate store, as in FlowyML's UI: threads cannot share its only connection.
    store = SQLiteMetadataStore(db_path=str(get_config().metadata_db))
    with running(pipeline, runner, "a-run") as results:

        def is_running() -> bool:
            recorded = store.load_run("a-run") or {}
            return recorded.get("steps", {}).get("wait", {}).get("status") == "running"

        try:
            eventually(is_running, "the start of the step")
            assert observer.get_run_status("a-run") is ExecutionStatus.RUNNING
            assert observer.fetch_step_statuses("a-run") == {"wait": ExecutionStatus.RUNNING}
            eventually(lambda: "waiting" in observer.get_run_logs("a-run"), "its log line")
        finally:
            observer.stop_run("a-run")
    (result,) = results
    assert (result.success, result.state) == (False, "cancelled")
    assert observer.get_run_status("a-run") is ExecutionStatus.CANCELLED
    assert store.load_run("a-run")["status"] == "cancelled"
