from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import GPUConfig, Pipeline, ResourceRequirements, step
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.cli.load import load_pipeline
from flowyml_aws.core.errors import InvalidPipelineError, PipelineFileError, SettingsError
from flowyml_aws.core.importing import importing
from flowyml_aws.core.step import Step
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.run import Run
from flowyml_aws.runtime.code import Payload, load_payload
from flowyml_aws.runtime.spec import JobSpec

pytestmark = pytest.mark.contract


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of the test's own."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    folder = tmp_path / "store"
    monkeypatch.setenv("FLOWYML_AWS_LOCAL_STORE", str(folder))
    return folder


def give() -> Step:
    @step(outputs=["n"])
    def give() -> int:
        return 1

    return give


def unpicklable() -> Step:
    lock = threading.Lock()

    @step
    def locks() -> None:
        lock.acquire()

    return locks


def needs(name: str, **resources: Any) -> Step:
    @step(name=name, resources=resources)
    def work() -> None:
        pass

    return work


def lacks() -> Step:
    @step
    def trains(rate: float) -> None:
        pass

    return trains


def problems(pipeline: Pipeline, **options: Any) -> list[str]:
    """What each problem says first."""
    with pytest.raises(InvalidPipelineError) as told:
        pipeline.submit(**options)
    return [problem.what for problem in told.value.problems]


def payload(store: Path, run: Run, job: str) -> Payload:
    """What travels to a job."""
    found = DirectoryArtifactStore(store)
    spec = JobSpec.model_validate_json(found.get(RunLayout(run.id).spec(job)))
    return load_payload(found, spec.payload)


def test_every_mistake_is_told_at_once_and_nothing_is_written(store: Path) -> None:
    gpus = ResourceRequirements(gpu=GPUConfig("nvidia-a100", count=64))
    pipeline = Pipeline("p").add_steps([unpicklable(), lacks(), needs("greedy", gpu=gpus.gpu)])
    told = problems(pipeline)
    assert len(told) == 3
    assert any("'trains' has no value for 'rate'" in what for what in told)
    assert any("'locks' can't be pickled: variable 'lock'" in what for what in told)
    assert any("'greedy'" in what and "64" in what for what in told)
    assert not store.exists()


def test_mistakes_of_every_kind_are_told_in_one_report(store: Path) -> None:
    pipeline = Pipeline("p").add_steps(
        [
            needs("quantity", memory="32Gb"),
            needs("gpu", gpu={"gpu_type": "a1000", "count": 1}),
            needs("greedy", gpu={"gpu_type": "a100", "count": 64}),
            lacks(),
            unpicklable(),
            step(name="reader", inputs=["nowhere"])(lambda nowhere: None),
            step(name="one", inputs=["b"], outputs=["a"])(lambda b: None),
            step(name="other", inputs=["a"], outputs=["b"])(lambda a: None),
        ]
    )
    told = problems(pipeline)
    for part in (
        "'32Gb'",
        "'a1000'",
        "'greedy'",
        "has no value for 'rate'",
        "variable 'lock' is a lock",
        "'nowhere', which no step produces",
        "one → other",
    ):
        assert sum(part in what for what in told) == 1, (part, told)
    assert len(told) == 7
    assert not store.exists()


def test_a_wrong_include_is_told_with_the_other_mistakes(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_INCLUDE", "missing")
    told = problems(Pipeline("p").add_steps([unpicklable()]), backend="batch")
    assert any("include='missing' does not exist" in what for what in told)
    assert any("'lock'" in what for what in told)


def test_each_job_that_cannot_travel_is_told(store: Path) -> None:
    locks = unpicklable()
    other = step(name="other")(locks.func)
    told = problems(Pipeline("p").add_steps([locks, other]))
    assert [what.partition(" can't")[0] for what in told] == ["Step 'locks'", "Step 'other'"]
    assert not store.exists()


def test_missing_settings_and_credentials_are_told_with_the_pipelines_mistakes(
    store: Path,
) -> None:
    told = problems(Pipeline("p").add_steps([unpicklable(), lacks()]), backend="batch")
    for part in (
        "`store` is missing",
        "`image` is missing",
        "'rate'",
        "'lock'",
        "verify the credentials",
    ):
        assert any(part in what for what in told), part
    assert len(set(told)) == len(told)
    assert not store.exists()


def test_a_wrong_setting_is_told_before_anything_is_written(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_POLL_S", "often")
    with pytest.raises(SettingsError, match="poll_s"):
        Pipeline("p").add_step(give()).submit()
    assert not store.exists()


def test_an_unknown_backend_is_told(store: Path) -> None:
    with pytest.raises(SettingsError, match="'kubernetes'"):
        Pipeline("p").add_step(give()).submit(backend="kubernetes")
    assert not store.exists()


def test_only_the_context_that_is_read_travels(store: Path) -> None:
    @step(outputs=["a"])
    def reads_a(alpha: int) -> int:
        return alpha

    @step(inputs=["a"], outputs=["b"], condition=lambda a, beta: a < beta)
    def reads_b(a: int, gamma: str = "default") -> int:
        return a

    context = {"alpha": 1, "beta": 2, "unread": 3}
    run = Pipeline("p", context=context).add_steps([reads_a, reads_b]).submit()
    try:
        assert payload(store, run, "reads_a").context == {"alpha": 1}
        assert payload(store, run, "reads_b").context == {"beta": 2}
    finally:
        run.cancel()


def test_a_context_value_that_nobody_reads_need_not_pickle() -> None:
    pipeline = Pipeline("p", context={"lock": threading.Lock()}).add_step(give())
    assert pipeline.run(progress=False)["n"] == 1


def test_a_context_value_that_is_read_must_pickle() -> None:
    @step
    def work(lock: Any) -> None:
        pass

    (told,) = problems(Pipeline("p", context={"lock": threading.Lock()}).add_step(work))
    assert told == "The context can't be pickled: 'lock' is a lock"


def test_the_context_of_the_run_wins_over_the_pipelines() -> None:
    @step(outputs=["told"])
    def tell(a: int, b: int) -> tuple[int, int]:
        return a, b

    result = (
        Pipeline("p", context={"a": 1, "b": 1}).add_step(tell).run(context={"b": 2}, progress=False)
    )
    assert result["told"] == (1, 2)


def test_inputs_of_the_run_reach_the_steps() -> None:
    @step(inputs=["given"], outputs=["twice"])
    def double(given: int) -> int:
        return given * 2

    pipeline = Pipeline("p").add_step(double)
    assert pipeline.run(inputs={"given": 21}, progress=False)["twice"] == 42


def test_a_step_that_fails_does_not_raise_in_the_client() -> None:
    @step
    def fails() -> None:
        raise ValueError("at the users line")

    result = Pipeline("p").add_step(fails).run(progress=False)
    assert not result.success
    error = result.step_results["fails"].error
    assert error is not None
    assert 'raise ValueError("at the users line")' in error
    assert error.endswith("ValueError: at the users line\n")


def test_a_process_that_ends_without_a_result_has_failed() -> None:
    @step
    def vanishes() -> None:
        os._exit(0)

    result = Pipeline("p").add_step(vanishes).run(progress=False)
    assert not result.success
    (view,) = result.status.jobs
    assert view.reason is not None and "left no result" in view.reason


def test_a_skip_is_no_failure() -> None:
    @step(outputs=["a"], condition=lambda: False)
    def skipped() -> int:
        return 1

    @step(inputs=["a"], outputs=["b"])
    def reads(a: int) -> int:
        return a

    result = Pipeline("p").add_steps([skipped, reads]).run(progress=False)
    assert result.success
    assert all(step.skipped for step in result.step_results.values())
    assert "a" not in result.outputs and "b" not in result.outputs


@pytest.mark.parametrize("call", ["run", "submit"])
def test_a_pipeline_does_not_start_while_its_module_is_imported(store: Path, call: str) -> None:
    pipeline = Pipeline("p").add_step(give())
    with importing("flow.py"), pytest.raises(PipelineFileError) as told:
        getattr(pipeline, call)()
    assert told.value.what == "flow.py runs a pipeline while it is imported"
    assert '__name__ == "__main__"' in told.value.fix
    assert not store.exists()


def test_it_starts_again_after_an_import_that_failed() -> None:
    with pytest.raises(ValueError), importing("flow.py"):
        raise ValueError
    assert Pipeline("p").add_step(give()).run(progress=False).success


def test_a_file_that_runs_its_pipeline_at_import_is_refused_by_the_command_line(
    store: Path, tmp_path: Path
) -> None:
    file = tmp_path / "unguarded_flow.py"
    file.write_text(
        "from flowyml_aws import Pipeline, step\n"
        "@step\n"
        "def work(): pass\n"
        "pipeline = Pipeline('p').add_step(work)\n"
        "pipeline.run()\n"
    )
    with pytest.raises(PipelineFileError, match=r"unguarded_flow\.py runs a pipeline"):
        load_pipeline(str(file))
    assert not store.exists()
