"""Mistakes are told as what, why and fix before anything is submitted, with their exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.mistakes import GOOD, MISTAKE, told, written
from tests.support.rigs import BackendRig

version_sensitive = pytest.mark.version_sensitive


@version_sensitive
def test_a_missing_file(rig: BackendRig, cli: Cli) -> None:
    told(cli("run", "none.py"), MISTAKE, "none.py is no Python file", "it does not exist")


def test_a_file_that_is_no_python(rig: BackendRig, cli: Cli) -> None:
    told(cli("run", "pyproject.toml"), MISTAKE, "a pipeline is read from a .py file")


@version_sensitive
def test_a_syntax_error(rig: BackendRig, cli: Cli) -> None:
    answer = cli("run", written("x = 1\ndef broken(:\n"))
    told(answer, MISTAKE, "bad.py does not import", "line 2: SyntaxError")


@version_sensitive
def test_an_error_while_the_file_is_imported(rig: BackendRig, cli: Cli) -> None:
    answer = cli("plan", written("import os\n\nraise RuntimeError('no data')\n"))
    told(answer, MISTAKE, "bad.py does not import", "line 3: RuntimeError: no data")


@version_sensitive
def test_a_module_that_is_not_there(rig: BackendRig, cli: Cli) -> None:
    answer = cli("package", written("import no_such_module\n"))
    told(answer, MISTAKE, "line 1: ModuleNotFoundError: No module named 'no_such_module'")


@version_sensitive
def test_a_file_that_runs_its_pipeline_when_imported(rig: BackendRig, cli: Cli) -> None:
    answer = cli("run", written(GOOD + "pipeline.run()\n"))
    told(answer, MISTAKE, "runs a pipeline while it is imported", "__main__")
    assert not Path(".flowyml").exists()


@version_sensitive
def test_a_file_that_exits_when_imported(rig: BackendRig, cli: Cli) -> None:
    told(cli("run", written("raise SystemExit(0)")), MISTAKE, "line 1: SystemExit: 0")


@pytest.mark.parametrize(
    ("name", "why"), [("my-pipeline.py", "which is no name"), ("json.py", "of Python itself")]
)
def test_a_file_that_no_job_could_import(rig: BackendRig, cli: Cli, name: str, why: str) -> None:
    told(cli("run", written(GOOD, name)), MISTAKE, "can't be imported under its name", why)


def test_no_pipeline_in_the_file(rig: BackendRig, cli: Cli) -> None:
    told(cli("run", written("x = 1\n")), MISTAKE, "bad.py has no pipeline", "Pipeline(…)")


def test_two_pipelines_in_the_file(rig: BackendRig, cli: Cli) -> None:
    answer = cli("run", written(GOOD + "other = Pipeline('other')\n"))
    told(answer, MISTAKE, "bad.py has 2 pipelines", "they are pipeline, other", "bad.py:pipeline")


def test_one_pipeline_under_two_names_is_one(rig: BackendRig, cli: Cli) -> None:
    assert cli("plan", written(GOOD + "same = pipeline\n"), "--backend", "local").code == 0


def test_a_name_that_is_no_pipeline(rig: BackendRig, cli: Cli, file: str) -> None:
    answer = cli("run", f"{file}:pipe")
    told(answer, MISTAKE, "no pipeline 'pipe'", "its pipelines are pipeline", "did you mean")


def test_a_function_that_fails_to_make_a_pipeline(rig: BackendRig, cli: Cli) -> None:
    answer = cli("run", written("def make():\n    return 1 / 0\n") + ":make")
    told(answer, MISTAKE, "bad.py fails in make()", "line 2: ZeroDivisionError")


def test_an_unknown_backend(rig: BackendRig, cli: Cli, file: str) -> None:
    for command in ("run", "plan"):
        told(cli(command, file, "--backend", "batsh"), MISTAKE, "'batsh'", "local, batch")


def test_two_backends_for_the_same_groups(rig: BackendRig, cli: Cli, file: str) -> None:
    given = ["--backend", "batch", "--backend", "sagemaker"]
    told(cli("plan", file, *given), MISTAKE, "--backend 'sagemaker' contradicts 'batch'")
    given = ["--backend", "a=batch", "--backend", "a=sagemaker", "--backend", "batch"]
    told(cli("plan", file, *given), MISTAKE, "group 'a' has one backend")


def test_a_backend_for_a_group_that_is_not_there(rig: BackendRig, cli: Cli, file: str) -> None:
    given = ["--backend", "nothing=sagemaker", "--backend", "batch"]
    told(cli("plan", file, *given), MISTAKE, "no group or single step 'nothing'")


@version_sensitive
@pytest.mark.parametrize("pair", ["epochs", "=3", "not a name=3"])
def test_a_bad_parameter(rig: BackendRig, cli: Cli, file: str, pair: str) -> None:
    told(cli("run", file, "--context", pair), MISTAKE, f"{pair!r} is no parameter", "NAME=VALUE")


def test_parameters_that_no_step_takes(rig: BackendRig, cli: Cli) -> None:
    file = written(
        "from flowyml_aws import Pipeline, step\n"
        "@step(inputs=['rows'], condition=lambda limit=3: limit > 2)\n"
        "def train(rows, epochs=10):\n    return epochs\n"
        "pipeline = Pipeline('training', context={'rest': 1}).add_steps([train])\n"
    )
    for command in ("run", "plan"):
        given = ("-c", "epoch=3", "-c", "rows=4", "-c", "rest=2", "-c", "limit=0")
        answer = cli(command, file, *given)
        told(
            answer,
            MISTAKE,
            "No step of pipeline 'training' takes 'epoch', 'rows' (did you mean 'epochs'?)",
            "its context can have epochs, limit, rest",
        )
    assert not Path(".flowyml").exists()


def test_a_parameter_that_an_input_fills_by_its_place(rig: BackendRig, cli: Cli) -> None:
    file = written(
        "from flowyml_aws import Pipeline, step\n"
        "@step(outputs=['data/train'])\ndef load(rows=3):\n    return rows\n"
        "@step(inputs=['data/train'])\ndef train(train_data):\n    return train_data\n"
        "pipeline = Pipeline('training').add_steps([load, train])\n"
    )
    told(cli("plan", file, "-c", "train_data=3"), MISTAKE, "takes 'train_data'", "can have rows")


def test_a_parameter_that_no_step_takes_hides_no_other_mistake(rig: BackendRig, cli: Cli) -> None:
    file = written(
        "from flowyml_aws import Pipeline, step\n"
        "@step(inputs=['nothing'])\ndef train(nothing, epochs):\n    return epochs\n"
        "pipeline = Pipeline('training').add_steps([train])\n"
    )
    answer = cli("run", file, "-c", "epoch=3")
    told(answer, MISTAKE, "2 problems found", "reads 'nothing'", "takes 'epoch'")


@version_sensitive
def test_mistakes_of_the_pipeline_come_all_at_once(rig: BackendRig, cli: Cli) -> None:
    answer = cli(
        "run",
        written(
            GOOD
            + "@step(inputs=['nothing'], resources={'memory': '3 apples'})\n"
            + "def two(nothing):\n    return 2\n"
            + "pipeline.add_step(two)\n"
        ),
    )
    told(answer, MISTAKE, "2 problems found, nothing was submitted", "'nothing'", "3 apples")
    assert not Path(".flowyml").exists()


@pytest.mark.contract
@pytest.mark.parametrize(
    "command", [["status"], ["attach"], ["logs"], ["cancel"], ["get", "--json"]]
)
def test_an_unknown_run(rig: BackendRig, cli: Cli, file: str, command: list[str]) -> None:
    assert cli("run", file).code == 0
    words = [*command, "nobody-20261122-150531-3f9a1c"]
    if command[0] == "get":
        words.append("asset")
    told(cli(*words), MISTAKE, "No run 'nobody-", f"{Path.cwd()}/.flowyml/aws", "flowyml-aws runs")


@pytest.mark.contract
@pytest.mark.parametrize("run_id", ["../../etc", "a/b", ".", ""])
def test_a_run_id_that_is_none(rig: BackendRig, cli: Cli, file: str, run_id: str) -> None:
    assert cli("run", file).code == 0
    answer = cli("status", run_id)
    told(answer, MISTAKE, repr(run_id))


def test_a_run_where_no_store_is(rig: BackendRig, cli: Cli) -> None:
    told(cli("status", "a-20261122-150531-3f9a1c"), MISTAKE, "no store is set up")


@pytest.mark.contract
def test_an_unknown_job_and_an_unknown_asset(rig: BackendRig, cli: Cli, file: str) -> None:
    run_id = cli("run", file, "--json").facts["run_id"]
    told(cli("logs", run_id, "two"), MISTAKE, "has no job 'two'", "its jobs are one")
    told(cli("logs", run_id, "oen"), MISTAKE, "has no job 'oen'", "did you mean 'one'?")
    told(cli("get", run_id, "two"), MISTAKE, "no output 'two'", "stored are one")
    told(cli("get", run_id, "two", "--json"), MISTAKE, "no output 'two'")


def test_an_unknown_setting(rig: BackendRig, cli: Cli, file: str) -> None:
    Path("flowyml-aws.toml").write_text('stores = "s3://bucket/prefix"\n')
    answer = cli("run", file)
    told(answer, MISTAKE, "Unknown setting 'stores'", "flowyml-aws.toml", "did you mean 'store'?")


@version_sensitive
def test_an_unknown_option_is_told_by_the_command_line_itself(rig: BackendRig, cli: Cli) -> None:
    answer = cli("run", "good.py", "--bakend", "local")
    assert answer.code == 2
    assert "--bakend" in answer.err
