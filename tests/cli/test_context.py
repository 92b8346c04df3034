"""Context values of the command line and of files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowyml_aws.cli.context import context_values
from flowyml_aws.core.context import ContextEntry, ContextText
from flowyml_aws.core.errors import SettingsError
from tests.cli.conftest import Cli
from tests.cli.mistakes import MISTAKE, assert_error, write_file
from tests.support.rigs import BackendRig

TYPED = """
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from flowyml_aws import Pipeline, step

@dataclass
class Model:
    depth: int
    name: str = "tree"

@step
def train(rate: float, run: str, optimizer: Literal["adam", "sgd"], data: Path, model: Model,
          shuffle=True, folds=5):
    kept = [rate, run, optimizer, str(data), type(model).__name__, model.depth, shuffle, folds]
    return [type(data).__name__.endswith("Path"), *kept]

pipeline = Pipeline("typed").add_steps([train])
"""
VALUES = {"rate": 1, "optimizer": "adam", "data": "x.csv", "model": {"depth": 3}}


def test_a_name_may_have_the_path_of_a_sub_pipeline() -> None:
    assert context_values(["a/b/rate=2"], None) == {"a/b/rate": ContextText("2")}


@pytest.fixture
def file(rig: BackendRig) -> str:
    Path("values.json").write_text(json.dumps(VALUES))
    return write_file(TYPED, "typed.py")


@pytest.mark.contract
def test_steps_get_values_of_their_types(rig: BackendRig, cli: Cli, file: str) -> None:
    text = ("-c", "run=007", "-c", "shuffle=no", "-c", "folds=0.5", "-c", "optimizer=sgd")
    answer = cli("run", file, "--context-file", "values.json", *text, "--json")
    assert answer.code == 0, answer.err
    value = json.loads(cli("get", answer.facts["run_id"], "train").out)
    assert repr(value) == "[True, 1.0, '007', 'sgd', 'x.csv', 'Model', 3, False, 0.5]"


@pytest.mark.contract
def test_all_mistakes_in_values_are_reported_before_submission(
    rig: BackendRig, cli: Cli, file: str
) -> None:
    text = ("-c", "optimizer=sdg", "-c", 'model={"dept": 3}', "-c", "folds=many", "-c", "rate=x")
    for command in ("plan", "run"):
        answer = cli(command, file, "--context-file", "values.json", "-c", "run=1", *text)
        assert_error(
            answer,
            MISTAKE,
            "Invalid context value optimizer='sdg'",
            "did you mean 'sgd'?",
            "dept: unexpected keyword argument",
            "parameter `folds=5` of step 'train': input should be a valid integer",
            "parameter `rate: float` of step 'train': input should be a valid number",
            "4 problems found",
        )
    assert not Path(".flowyml").exists()


def test_the_command_line_overrides_the_file(tmp_path: Path) -> None:
    file = tmp_path / "values.toml"
    file.write_text('rate = 0.5\nname = "007"\ndays = 2026-05-01\n')
    values = context_values(["rate=1", "rate=2", "text=a=b"], file)
    assert values["rate"] == ContextText("2")
    assert values["name"] == ContextEntry("007")
    assert values["text"] == ContextText("a=b")
    assert str(values["days"]) == "ContextEntry(value=datetime.date(2026, 5, 1))"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("values.yaml", "a: 1", "Unsupported format"),
        ("values.json", "{", "Can't read"),
        ("values.json", "[1]", "expected a mapping"),
        ("values.toml", "a = ", "Can't read"),
        ("none.json", None, "No such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_mistake(
    tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError) as caught:
        context_values([], tmp_path / name)
    assert message in str(caught.value)
    assert name in str(caught.value)
