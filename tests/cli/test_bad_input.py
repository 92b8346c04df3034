"""Mistakes are reported as what, why and fix, before anything is submitted."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws.cli.load import load_pipeline
from flowyml_aws.core.errors import InvalidPipelineError
from tests.cli.conftest import Cli
from tests.cli.mistakes import GOOD, MISTAKE, assert_error, write_file
from tests.support.rigs import BackendRig

version_sensitive = pytest.mark.version_sensitive


@version_sensitive
def test_a_missing_file(rig: BackendRig, cli: Cli) -> None:
    assert_error(cli("run", "none.py"), MISTAKE, "File not found: none.py", "a .py file")


def test_a_file_that_is_not_a_python_file(rig: BackendRig, cli: Cli) -> None:
    answer = cli("run", "pyproject.toml")
    assert_error(answer, MISTAKE, "Not a Python file: pyproject.toml", "a .py file")


@version_sensitive
def test_a_syntax_error(rig: BackendRig, cli: Cli) -> None:
    answer = cli("run", write_file("x = 1\ndef broken(:\n"))
    assert_error(answer, MISTAKE, "bad.py can't be imported", "line 2: SyntaxError")


@version_sensitive
def test_an_error_while_the_file_is_imported(rig: BackendRig, cli: Cli) -> None:
    answer = cli("plan", write_file("import os\n\nraise RuntimeError('no data')\n"))
    assert_error(answer, MISTAKE, "bad.py can't be imported", "line 3: RuntimeError: no data")


@version_sensitive
def test_a_missing_module(rig: BackendRig, cli: Cli) -> None:
    answer = cli("package", write_file("import no_such_module\n"))
    assert_error(answer, MISTAKE, "line 1: ModuleNotFoundError: No module named 'no_such_module'")


@version_sensitive
def test_a_file_is_executed_up_to_its_first_run(rig: BackendRig, cli: Cli) -> None:
    assert cli("plan", write_file(GOOD + "pipeline.run()\nraise RuntimeError\n")).code == 0
    assert not Path(".flowyml").exists()


@version_sensitive
def test_a_file_that_exits_while_it_is_imported(rig: BackendRig, cli: Cli) -> None:
    assert_error(cli("run", write_file("raise SystemExit(0)")), MISTAKE, "line 1: SystemExit: 0")


@pytest.mark.parametrize("name", ["my pipeline-1.2.py", "json.py", "größe.py"])
def test_a_file_may_have_any_name(rig: BackendRig, cli: Cli, name: str) -> None:
    assert cli("plan", write_file(GOOD, name)).code == 0


def test_a_file_without_a_pipeline(rig: BackendRig, cli: Cli) -> None:
    assert_error(
        cli("run", write_file("x = 1\n")), MISTAKE, "bad.py has no pipeline", "Pipeline(…)"
    )


def test_a_file_with_two_pipelines(rig: BackendRig, cli: Cli) -> None:
    answer = cli("run", write_file(GOOD + "other = Pipeline('other')\n"))
    assert_error(
        answer, MISTAKE, "bad.py has 2 pipelines", "they are pipeline, other", "bad.py:pipeline"
    )


def test_a_pipeline_may_have_two_names(rig: BackendRig, cli: Cli) -> None:
    assert cli("plan", write_file(GOOD + "same = pipeline\n"), "--backend", "local").code == 0


def test_an_unknown_name_of_a_pipeline(rig: BackendRig, cli: Cli, file: str) -> None:
    answer = cli("run", f"{file}:pipe")
    assert_error(
        answer, MISTAKE, "no pipeline 'pipe'", "its pipelines are pipeline", "did you mean"
    )


def test_a_function_that_fails_to_return_a_pipeline(rig: BackendRig, cli: Cli) -> None:
    answer = cli("run", write_file("def make():\n    return 1 / 0\n") + ":make")
    assert_error(answer, MISTAKE, "bad.py fails in make()", "line 2: ZeroDivisionError")


def test_an_unknown_backend(rig: BackendRig, cli: Cli, file: str) -> None:
    for command in ("run", "plan"):
        assert_error(cli(command, file, "--backend", "batsh"), MISTAKE, "'batsh'", "local, batch")


def test_two_backends_for_the_same_groups(rig: BackendRig, cli: Cli, file: str) -> None:
    options = ["--backend", "batch", "--backend", "sagemaker"]
    assert_error(cli("plan", file, *options), MISTAKE, "--backend 'sagemaker' contradicts 'batch'")
    options = ["--backend", "a=batch", "--backend", "a=sagemaker", "--backend", "batch"]
    assert_error(cli("plan", file, *options), MISTAKE, "group 'a' has one backend")


@pytest.mark.contract
def test_a_backend_for_an_unknown_group(rig: BackendRig, cli: Cli, file: str) -> None:
    options = ["--backend", "nothing=sagemaker", "--backend", "batch"]
    for command in ("plan", "run"):
        answer = cli(command, file, *options)
        assert_error(answer, MISTAKE, "No group or single step 'nothing'", "single steps are one")


@version_sensitive
@pytest.mark.parametrize("pair", ["epochs", "=3", "not a name=3"])
def test_a_malformed_context_option(rig: BackendRig, cli: Cli, file: str, pair: str) -> None:
    answer = cli("run", file, "--context", pair)
    assert_error(answer, MISTAKE, f"Invalid --context {pair!r}: expected NAME=VALUE", "epochs=10")


def test_context_values_that_no_step_takes(rig: BackendRig, cli: Cli) -> None:
    file = write_file(
        "from flowyml_aws import Pipeline, step\n"
        "@step(inputs=['rows'], condition=lambda limit=3: limit > 2)\n"
        "def train(rows, epochs=10):\n    return epochs\n"
        "pipeline = Pipeline('training', context={'rest': 1}).add_steps([train])\n"
    )
    for command in ("run", "plan"):
        values = ("-c", "epoch=3", "-c", "rows=4", "-c", "rest=2", "-c", "limit=0")
        answer = cli(command, file, *values)
        assert_error(
            answer,
            MISTAKE,
            "No step of pipeline 'training' takes 'epoch', 'rest', 'rows' (did you mean 'epochs'?)",
            "its parameters are epochs, limit\n",
        )
    assert not Path(".flowyml").exists()


@pytest.mark.contract
@pytest.mark.parametrize(
    ("method", "command"), [("run", "run"), ("submit", "run"), ("plan", "plan")]
)
def test_a_context_value_that_no_step_takes_has_the_same_report_in_python(
    rig: BackendRig, cli: Cli, file: str, method: str, command: str
) -> None:
    with pytest.raises(InvalidPipelineError) as caught:
        getattr(load_pipeline(file), method)(context={"epoch": 3})
    (problem,) = caught.value.problems
    assert problem.what == "No step of pipeline 'good' takes 'epoch'"
    assert cli(command, file, "-c", "epoch=3").err == f"error: {caught.value}\n"
    assert not Path(".flowyml").exists()


def test_a_parameter_that_an_input_fills_by_position_is_not_context(
    rig: BackendRig, cli: Cli
) -> None:
    file = write_file(
        "from flowyml_aws import Pipeline, step\n"
        "@step(outputs=['data/train'])\ndef load(rows=3):\n    return rows\n"
        "@step(inputs=['data/train'])\ndef train(train_data):\n    return train_data\n"
        "pipeline = Pipeline('training').add_steps([load, train])\n"
    )
    assert_error(
        cli("plan", file, "-c", "train_data=3"),
        MISTAKE,
        "takes 'train_data'",
        "parameters are rows\n",
    )


def test_an_unknown_context_value_does_not_hide_other_mistakes(rig: BackendRig, cli: Cli) -> None:
    file = write_file(
        "from flowyml_aws import Pipeline, step\n"
        "@step(inputs=['nothing'])\ndef train(nothing, epochs):\n    return epochs\n"
        "pipeline = Pipeline('training').add_steps([train])\n"
    )
    answer = cli("run", file, "-c", "epoch=3")
    parts = ("reads 'nothing'", "takes 'epoch'", "has no value for 'epochs'")
    assert_error(answer, MISTAKE, "3 problems found", *parts)


@version_sensitive
def test_all_mistakes_of_a_pipeline_are_reported_at_once(rig: BackendRig, cli: Cli) -> None:
    answer = cli(
        "run",
        write_file(
            GOOD
            + "@step(inputs=['nothing'], resources={'memory': '3 apples'})\n"
            + "def two(nothing):\n    return 2\n"
            + "pipeline.add_step(two)\n"
        ),
    )
    assert_error(
        answer, MISTAKE, "2 problems found, nothing was submitted", "'nothing'", "3 apples"
    )
    assert not Path(".flowyml").exists()


@pytest.mark.contract
@pytest.mark.parametrize(
    "command", [["status"], ["attach"], ["logs"], ["cancel"], ["get", "--json"]]
)
def test_an_unknown_run(rig: BackendRig, cli: Cli, file: str, command: list[str]) -> None:
    assert cli("run", file).code == 0
    arguments = [*command, "unknown-20261122-150531-3f9a1c"]
    if command[0] == "get":
        arguments.append("asset")
    store = f"{Path.cwd()}/.flowyml/aws"
    assert_error(cli(*arguments), MISTAKE, "No run 'unknown-", store, "flowyml-aws runs")


@pytest.mark.contract
@pytest.mark.parametrize("run_id", ["../../etc", "a/b", ".", ""])
def test_a_malformed_run_id(rig: BackendRig, cli: Cli, file: str, run_id: str) -> None:
    assert cli("run", file).code == 0
    answer = cli("status", run_id)
    assert_error(answer, MISTAKE, repr(run_id))


def test_a_run_without_a_store(rig: BackendRig, cli: Cli) -> None:
    assert_error(cli("status", "a-20261122-150531-3f9a1c"), MISTAKE, "no store is set up")


@pytest.mark.contract
def test_an_unknown_job_and_an_unknown_asset(rig: BackendRig, cli: Cli, file: str) -> None:
    run_id = cli("run", file, "--json").facts["run_id"]
    assert_error(cli("logs", run_id, "two"), MISTAKE, "has no job 'two'", "its jobs are one")
    assert_error(cli("logs", run_id, "oen"), MISTAKE, "has no job 'oen'", "did you mean 'one'?")
    assert_error(cli("get", run_id, "two"), MISTAKE, "no output 'two'", "stored outputs are one")
    assert_error(cli("get", run_id, "two", "--json"), MISTAKE, "no output 'two'")


def test_an_unknown_setting(rig: BackendRig, cli: Cli, file: str) -> None:
    Path("flowyml-aws.toml").write_text('stores = "s3://bucket/prefix"\n')
    answer = cli("run", file)
    assert_error(
        answer, MISTAKE, "Unknown setting 'stores'", "flowyml-aws.toml", "did you mean 'store'?"
    )


@version_sensitive
def test_an_unknown_command_line_option(rig: BackendRig, cli: Cli) -> None:
    answer = cli("run", "good.py", "--bakend", "local")
    assert answer.code == 2
    assert "--bakend" in answer.err


@version_sensitive
@pytest.mark.contract
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_malformed_environment_option(rig: BackendRig, cli: Cli, file: str, command: str) -> None:
    answer = cli(command, file, "--env", "LEVEL")
    assert_error(answer, MISTAKE, "Invalid --env 'LEVEL': expected NAME=VALUE", "--env LEVEL=9")
    answer = cli(command, file, "--env", "=hidden", "--env", "HF_TOKEN=hidden")
    assert_error(answer, MISTAKE, "'' of the run has an invalid name", "'HF_TOKEN' of the run")
    assert "hidden" not in answer.err
