"""Comparisons of runs on this machine, in Python and on the command line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flowyml_aws import Run
from flowyml_aws.cli.load import load_pipeline
from flowyml_aws.core.errors import RunNotFoundError
from tests.cli.conftest import Cli, cli
from tests.support.rigs import BackendRig

__all__ = ["cli"]

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[BackendRig, str, str]:
    """Two runs that differ in a parameter and in the code of a step."""
    rig = BackendRig("local", tmp_path_factory.mktemp("compare") / "project")
    with rig.entered():
        first = rig.pipeline("metrics").run(progress=False).run_id
    file = rig.folder / "metrics.py"
    with rig.entered():
        file.write_text(file.read_text().replace("(epoch + 1)", "(epoch + 2)"))
        pipeline = load_pipeline(str(file))
        pipeline.context = pipeline.context.inherit(trace=str(rig.trace))
        second = pipeline.run(progress=False, context={"rate": 0.75}).run_id
        return rig, first, second


@pytest.fixture
def entered(runs: tuple[BackendRig, str, str]) -> Iterator[tuple[str, str]]:
    rig, first, second = runs
    with rig.entered():
        yield first, second


DIFFERENT = [
    ("parameter", None, "rate", "0.5", "0.75"),
    ("metric", "train", "loss", 0.1, 0.125),
    ("metric", "train", "val/loss", 1.0, 1.5),
    ("metric", "evaluate", "score", 1.5, 2.25),
    ("state", "load", "", "succeeded", "cached"),
]


def test_runs_are_compared_by_parameters_code_outputs_and_metrics(
    entered: tuple[str, str],
) -> None:
    first, second = entered
    comparison = Run.attach(first).compare(second)
    found = [(v.kind.value, v.step, v.name, v.first, v.second) for v in comparison.differences]
    assert [each for each in found if each[0] not in ("code", "output", "time")] == DIFFERENT
    assert [each[2] for each in found if each[0] == "code"] == ["metrics.train"]
    assert [each[2] for each in found if each[0] == "output"] == ["end", "score"]
    assert Run.attach(first).compare(Run.attach(first)).differences == ()


def test_an_unknown_run_is_an_error_that_names_it(entered: tuple[str, str]) -> None:
    with pytest.raises(RunNotFoundError, match="no-20260101-000000-abcdef"):
        Run.attach(entered[0]).compare("no-20260101-000000-abcdef")


def test_the_command_shows_differences_in_unbroken_lines(
    entered: tuple[str, str], cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    shown = cli("compare", *entered)
    assert shown.code == 0
    lines = [line.split() for line in shown.out.splitlines()]
    assert ["rate", "0.5", "0.75", "changed"] in lines
    assert ["train", "loss", "0.1", "0.125", "+25.0", "%"] in lines
    assert not any("size" in line for line in lines)


def test_with_all_and_json_every_value_is_printed(entered: tuple[str, str], cli: Cli) -> None:
    facts = cli("compare", *entered, "--all", "--json").facts
    assert (facts["first"]["run_id"], facts["second"]["run_id"]) == entered
    values = {(v["kind"], v["step"], v["name"]): v for v in facts["values"]}
    assert values["parameter", None, "size"]["is_different"] is False
    assert values["metric", "train", "loss"]["second"] == 0.125
    some = cli("compare", *entered, "--json").facts
    assert 0 < len(some["values"]) < len(facts["values"])
