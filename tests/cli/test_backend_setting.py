"""The setting `backend`: default of runs, plans and explanations, from Python and in commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws.cli.load import load_pipeline
from flowyml_aws.core.errors import InvalidPipelineError
from tests.cli.conftest import Cli
from tests.cli.mistakes import MISTAKE, assert_error

pytestmark = pytest.mark.usefixtures("rig")

MAPPING = '{"one": "sagemaker", "*": "batch"}'


def set_in_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("flowyml-aws.toml").write_text('backend = "sagemaker"\n')


def set_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("flowyml-aws.toml").write_text('backend = "batch"\n')  # overridden
    monkeypatch.setenv("FLOWYML_AWS_BACKEND", "sagemaker")


def set_mapping_in_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("flowyml-aws.toml").write_text('backend = { one = "sagemaker", "*" = "batch" }\n')


def set_mapping_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWYML_AWS_BACKEND", MAPPING)


@pytest.fixture(
    params=[
        set_in_file,
        set_in_environment,
        set_mapping_in_file,
        set_mapping_in_environment,
    ],
    ids=["file", "environment", "mapping-in-file", "mapping-in-environment"],
)
def sagemaker_by_setting(
    rig: object, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting, which selects SageMaker for the step `one`."""
    request.param(monkeypatch)


@pytest.mark.usefixtures("sagemaker_by_setting")
def test_a_plan_uses_the_setting(cli: Cli, file: str) -> None:
    (job,) = cli("plan", file, "--json").facts["jobs"]
    assert job["backend"] == "sagemaker"
    (planned,) = load_pipeline(file).plan().jobs
    assert planned.backend == "sagemaker"


@pytest.mark.usefixtures("sagemaker_by_setting")
def test_an_explanation_uses_the_setting(cli: Cli, file: str) -> None:
    candidates = cli("plan", file, "--explain", "one", "--json").facts["candidates"]
    assert candidates[0]["instance_type"].startswith("ml.")
    job, _ = load_pipeline(file).explain("one")
    assert job.backend == "sagemaker"


@pytest.mark.contract
@pytest.mark.usefixtures("sagemaker_by_setting")
def test_a_run_uses_the_setting(cli: Cli, file: str) -> None:
    assert_error(cli("run", file), MISTAKE, "Setting `store` is missing", "jobs on AWS need it")
    with pytest.raises(InvalidPipelineError, match="Setting `store` is missing"):
        load_pipeline(file).run()
    with pytest.raises(InvalidPipelineError, match="Setting `store` is missing"):
        load_pipeline(file).submit()


@pytest.mark.usefixtures("sagemaker_by_setting")
def test_an_option_overrides_the_setting(cli: Cli, file: str) -> None:
    assert cli("plan", file, "--backend", "local", "--json").facts["backend"] == "local"
    assert load_pipeline(file).plan(backend="batch").backend == "batch"


def test_without_the_setting_the_default_is_this_machine(cli: Cli, file: str) -> None:
    assert cli("plan", file, "--json").facts["backend"] == "local"
    assert load_pipeline(file).plan().backend == "local"


@pytest.mark.contract
def test_a_run_without_the_setting_uses_this_machine(cli: Cli, file: str) -> None:
    run_id = cli("run", file, "--json").facts["run_id"]
    assert cli("status", run_id, "--json").facts["backend"] == "local"


def test_a_mistake_in_the_setting_is_reported_by_runs_and_plans(
    cli: Cli, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_BACKEND", "batsh")
    for command in ("run", "plan"):
        assert_error(cli(command, file), MISTAKE, "Unknown backend 'batsh'", "did you mean 'batch'")


def origin(cli: Cli, file: str, *options: str) -> str:
    return cli("plan", file, "--json", *options).facts["backend_origin"]


def test_a_plan_says_that_the_setting_selected_the_backend(
    cli: Cli, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_BACKEND", "batch")
    assert origin(cli, file) == "setting"
    assert "backend batch: from the setting `backend`" in cli("plan", file).out


@pytest.mark.contract
def test_a_plan_and_a_run_say_that_the_backend_is_the_default(cli: Cli, file: str) -> None:
    assert origin(cli, file) == "default"
    assert "backend local: the default; select another one" in cli("plan", file).out
    assert " on local (the default): 1 job" in cli("run", file).err


def test_a_plan_says_nothing_on_a_backend_from_an_option(
    cli: Cli, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_BACKEND", "sagemaker")
    assert origin(cli, file, "--backend", "batch") == "argument"
    assert "setting `backend`" not in cli("plan", file, "--backend", "local").out
