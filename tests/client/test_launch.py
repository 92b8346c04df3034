from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import GPUConfig, Pipeline, ResourceRequirements, step
from flowyml_aws.client.run import Run
from flowyml_aws.core.errors import InvalidPipelineError, PipelineFileError
from flowyml_aws.core.loading import importing
from flowyml_aws.core.step import Step
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.runtime.argument import SpecArgument
from flowyml_aws.runtime.code import fetch
from flowyml_aws.runtime.payload import Payload, load_payload, read_payload
from flowyml_aws.runtime.specs import read_spec_at
from flowyml_aws.submission.record import read_record

pytestmark = pytest.mark.contract


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The local store of one test."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    folder = tmp_path / "store"
    monkeypatch.setenv("FLOWYML_AWS_LOCAL_STORE", str(folder))
    return folder


def produces_n() -> Step:
    @step(outputs=["n"])
    def one() -> int:
        return 1

    return one


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


def lacks_argument() -> Step:
    @step
    def trains(rate: float) -> None:
        pass

    return trains


def problems(pipeline: Pipeline, **options: Any) -> list[str]:
    """Return the first line of each problem."""
    with pytest.raises(InvalidPipelineError) as caught:
        pipeline.submit(**options)
    return [problem.what for problem in caught.value.problems]


def payload(store: Path, run: Run, job: str) -> Payload:
    """Return the payload of a job."""
    artifacts = DirectoryArtifactStore(store)
    argument = read_record(artifacts, run.id).spec_argument(job, artifacts.uri)
    spec = read_spec_at(artifacts, SpecArgument.parse(argument))
    return load_payload(read_payload(fetch(artifacts, spec.payload)))


def test_all_mistakes_are_reported_at_once_and_nothing_is_written(store: Path) -> None:
    gpus = ResourceRequirements(gpu=GPUConfig("nvidia-a100", count=64))
    pipeline = Pipeline("p").add_steps(
        [unpicklable(), lacks_argument(), needs("greedy", gpu=gpus.gpu)]
    )
    reported = problems(pipeline)
    assert len(reported) == 3
    assert any("'trains' has no value for 'rate'" in line for line in reported)
    assert any("'locks' can't be pickled: variable 'lock'" in line for line in reported)
    assert any("'greedy'" in line and "64" in line for line in reported)
    assert not store.exists()


def test_mistakes_of_every_kind_are_in_one_report(store: Path) -> None:
    pipeline = Pipeline("p").add_steps(
        [
            needs("quantity", memory="32Gb"),
            needs("gpu", gpu={"gpu_type": "a1000", "count": 1}),
            needs("greedy", gpu={"gpu_type": "a100", "count": 64}),
            lacks_argument(),
            unpicklable(),
            step(name="reader", inputs=["nowhere"])(lambda nowhere: None),
            step(name="one", inputs=["b"], outputs=["a"])(lambda b: None),
            step(name="other", inputs=["a"], outputs=["b"])(lambda a: None),
        ]
    )
    reported = problems(pipeline)
    for part in (
        "'32Gb'",
        "'a1000'",
        "'greedy'",
        "has no value for 'rate'",
        "variable 'lock' is a lock",
        "'nowhere', which no step produces",
        "one → other",
    ):
        assert sum(part in line for line in reported) == 1, (part, reported)
    assert len(reported) == 7
    assert not store.exists()


@pytest.mark.parametrize("resources", ["atuo", {"cpus": 2}])
def test_a_mistake_in_resources_is_reported_with_the_other_mistakes(
    store: Path, resources: Any
) -> None:
    steps = [step(name="a", resources=resources)(lambda: 1), step(name="b", retry=-1)(lambda: 1)]
    with pytest.raises(InvalidPipelineError, match=r"Step 'a': .* resources") as caught:
        Pipeline("p").add_steps(steps).run()
    assert len(caught.value.problems) == 2


def test_an_invalid_include_is_reported_with_the_other_mistakes(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_INCLUDE", "missing")
    reported = problems(Pipeline("p").add_steps([unpicklable()]), backend="batch")
    assert any("include='missing' does not exist" in line for line in reported)
    assert any("'lock'" in line for line in reported)


def test_each_step_that_cannot_be_pickled_is_reported(store: Path) -> None:
    locks = unpicklable()
    other = step(name="other")(locks.func)
    reported = problems(Pipeline("p").add_steps([locks, other]))
    assert [line.partition(" can't")[0] for line in reported] == ["Step 'locks'", "Step 'other'"]
    assert not store.exists()


def test_missing_settings_and_credentials_are_reported_with_mistakes_of_the_pipeline(
    store: Path,
) -> None:
    reported = problems(Pipeline("p").add_steps([unpicklable(), lacks_argument()]), backend="batch")
    for part in (
        "`store` is missing",
        "`image` is missing",
        "'rate'",
        "'lock'",
        "verify the credentials",
    ):
        assert any(part in line for line in reported), part
    assert len(set(reported)) == len(reported)
    assert not store.exists()


def test_an_invalid_setting_is_reported_with_mistakes_of_the_pipeline(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_POLL_S", "often")
    reported = problems(Pipeline("p").add_steps([produces_n(), lacks_argument()]))
    assert len(reported) == 2
    assert any("poll_s in the environment" in line for line in reported)
    assert any("'rate'" in line for line in reported)
    assert not store.exists()


def test_an_unknown_backend_is_reported_with_mistakes_of_the_pipeline(store: Path) -> None:
    reported = problems(
        Pipeline("p").add_steps([produces_n(), lacks_argument()]), backend="kubernetes"
    )
    assert len(reported) == 2
    assert "Unknown backend 'kubernetes'" in reported
    assert any("'rate'" in line for line in reported)
    assert not store.exists()


def test_a_payload_contains_only_the_context_that_its_steps_read(store: Path) -> None:
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


def test_a_context_value_that_no_step_reads_need_not_be_picklable() -> None:
    pipeline = Pipeline("p", context={"lock": threading.Lock()}).add_step(produces_n())
    assert pipeline.run(progress=False)["n"] == 1


def test_a_context_value_that_a_step_reads_must_be_picklable() -> None:
    @step
    def work(lock: Any) -> None:
        pass

    (line,) = problems(Pipeline("p", context={"lock": threading.Lock()}).add_step(work))
    assert line == "The context can't be pickled: 'lock' is a lock"


def test_the_context_of_the_run_overrides_that_of_the_pipeline() -> None:
    @step(outputs=["pair"])
    def join(a: int, b: int) -> tuple[int, int]:
        return a, b

    result = (
        Pipeline("p", context={"a": 1, "b": 1}).add_step(join).run(context={"b": 2}, progress=False)
    )
    assert result["pair"] == (1, 2)


def double() -> Step:
    @step(inputs=["number"], outputs=["twice"])
    def double(number: int) -> int:
        return number * 2

    return double


def test_external_inputs_are_passed_to_the_steps() -> None:
    pipeline = Pipeline("p").add_step(double())
    assert pipeline.run(inputs={"number": 21}, progress=False)["twice"] == 42


def test_names_of_external_inputs_are_enough_for_a_plan_but_not_for_a_run(store: Path) -> None:
    pipeline = Pipeline("p").add_step(double())
    assert [job.name for job in pipeline.plan(inputs=["number"]).jobs] == ["double"]
    (line,) = problems(pipeline, inputs=["number"])
    assert line == "External inputs without a value: 'number'"
    with pytest.raises(InvalidPipelineError, match=r"write inputs=\{'number': …\}"):
        pipeline.run(inputs={"number"}, progress=False)
    assert not store.exists()


def test_a_failed_step_does_not_raise_in_the_client() -> None:
    @step
    def fails() -> None:
        raise ValueError("no luck")

    result = Pipeline("p").add_step(fails).run(progress=False)
    assert not result.success
    error = result.step_results["fails"].error
    assert error is not None
    assert 'raise ValueError("no luck")' in error
    assert error.endswith("ValueError: no luck\n")


def test_a_job_that_ends_without_a_result_has_failed() -> None:
    @step
    def vanishes() -> None:
        os._exit(0)

    result = Pipeline("p").add_step(vanishes).run(progress=False)
    assert not result.success
    (view,) = result.status.jobs
    assert view.reason is not None and "left no result" in view.reason


def test_a_run_with_skipped_steps_succeeds() -> None:
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
    pipeline = Pipeline("p").add_step(produces_n())
    with importing("flow.py"), pytest.raises(PipelineFileError) as caught:
        getattr(pipeline, call)()
    assert caught.value.what == "flow.py runs a pipeline while it is imported"
    assert '__name__ == "__main__"' in caught.value.fix
    assert not store.exists()


def test_a_pipeline_starts_after_a_failed_import() -> None:
    with pytest.raises(ValueError), importing("flow.py"):
        raise ValueError
    assert Pipeline("p").add_step(produces_n()).run(progress=False).success


def test_the_command_line_executes_a_file_up_to_its_first_run(store: Path, tmp_path: Path) -> None:
    # Not above: jobs import this module, and the command line takes half a second of CPU time.
    from flowyml_aws.cli.load import load_pipeline

    file = tmp_path / "unguarded_flow.py"
    file.write_text(
        "from flowyml_aws import Pipeline, step\n"
        "@step\n"
        "def work(): pass\n"
        "pipeline = Pipeline('p').add_step(work)\n"
        "pipeline.run()\n"
        "raise RuntimeError('never reached')\n"
    )
    assert load_pipeline(str(file)).name == "p"
    assert not store.exists()


def test_mistakes_in_environment_variables_are_reported_at_once_and_without_values(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_ENV", '{"DB_PASSWORD": "hidden"}')
    first = step(name="a", outputs=["a"], execution_group="g", env={"LEVEL": "1", "1A": "x"})
    second = step(name="b", inputs=["a"], execution_group="g", env={"LEVEL": "hidden"})
    wrong: Any = {"LEVEL": 9}
    pipeline = Pipeline("p", env={"FLOWYML_ATTEMPT": "2"})
    pipeline.add_steps([first(lambda: 1), second(lambda a: a), lacks_argument()])
    reported = problems(pipeline, env=wrong)
    assert reported[0] == "Environment variable '1A' of step 'a' has an invalid name"
    assert reported[1] == "Steps 'a' and 'b' give environment variable 'LEVEL' different values"
    for part in (
        "'FLOWYML_ATTEMPT' of pipeline 'p' is reserved",
        "'LEVEL' of the run must be a string, got int",
        "'DB_PASSWORD' of the setting `env` looks like a secret",
        "has no value for 'rate'",
    ):
        assert sum(part in line for line in reported) == 1, (part, reported)
    assert not any("hidden" in line for line in reported)
    assert not store.exists()


def test_a_plan_reports_the_same_mistakes_in_environment_variables(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Pipeline("p").add_step(produces_n())
    with pytest.raises(InvalidPipelineError, match="'HF_TOKEN' of the run looks like a secret"):
        pipeline.plan(env={"HF_TOKEN": "x"})
    monkeypatch.setenv("FLOWYML_AWS_ENV", '{"HF_TOKEN": "x"}')
    with pytest.raises(InvalidPipelineError, match="'HF_TOKEN' of the setting `env` looks"):
        pipeline.plan()


def test_the_plan_has_the_variables_of_each_job(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_ENV", '{"SETTING": "s", "PIPELINE": "s"}')
    one = step(name="one", outputs=["one"], env={"RUN": "step"})(lambda: 1)
    other = step(name="other", outputs=["other"])(lambda: 1)
    pipeline = Pipeline("p", env={"PIPELINE": "p", "RUN": "p"}).add_steps([one, other])
    plan = pipeline.plan(env={"RUN": "r"}, backend="batch")
    common = {"SETTING": "s", "PIPELINE": "p"}
    assert {job.name: job.environment for job in plan.jobs} == {
        "one": {**common, "RUN": "step"},
        "other": {**common, "RUN": "r"},
    }
