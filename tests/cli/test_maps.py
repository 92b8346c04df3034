"""Commands for runs with mapped steps, on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowyml_aws.client.run import Run
from tests.cli.conftest import Cli
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.contract

DROPPED = "1 of 6 items of train was dropped (train[4]: ValueError: diverged)"


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[BackendRig, str]:
    """A finished sweep for all tests, which only read it."""
    rig = BackendRig("local", tmp_path_factory.mktemp("mapped") / "project")
    with rig.entered():
        return rig, rig.pipeline("mapped:sweep").run(progress=False).run_id


@pytest.fixture
def run_id(ended: tuple[BackendRig, str]) -> Iterator[str]:
    rig, run_id = ended
    with rig.entered():
        yield run_id


def test_a_result_has_the_list_of_a_map_without_dropped_items(run_id: str) -> None:
    result = Run.attach(run_id).result()
    assert result.success and DROPPED in result.summary()
    assert result["model"] == result.step_results["train"].output
    assert result["model"] == [0.1, 0.2, 0.1 * 3, 0.5, 1.5]
    assert (result["model[5]"], result["best"]) == (1.5, 1.5)
    assert list(result.step_results) == ["train", "best"]
    assert not result.step_results["train[4]"].success and result.step_results["train"].success
    assert "train[4]" in result.to_dict()["steps"]


def test_the_status_has_a_row_for_a_map_and_says_what_was_dropped(run_id: str, cli: Cli) -> None:
    lines = cli("status", run_id).out.splitlines()
    assert lines[1].split()[:3] == ["train", "×3", "succeeded"]
    assert " ".join(lines[2].split()) == "train 5 of 6 items succeeded, 1 failed"
    assert DROPPED in lines


def test_a_list_of_runs_shows_how_many_items_were_dropped(run_id: str, cli: Cli) -> None:
    assert "succeeded, 1 dropped" in cli("runs").out
    assert cli("runs", "--json").facts[0]["dropped"] == 1


def test_the_status_of_a_job_has_its_items(run_id: str, cli: Cli) -> None:
    for name in ("train[4]", "train-4-5"):
        text = cli("status", run_id, "--job", name).out
        assert "failed: ValueError: diverged" in text and "train[3]" not in text
    assert "train[3]" in cli("status", run_id, "--job", "train").out
    wrong = cli("status", run_id, "--job", "trian")
    assert wrong.code == 2 and "did you mean 'train'?" in wrong.err


def test_the_status_as_json_has_every_item(run_id: str, cli: Cli) -> None:
    facts = cli("status", run_id, "--json").facts
    assert sum(len(job["steps"]) for job in facts["jobs"]) == 7
    assert facts["maps"]["train"]["dropped"] == ["train[4]"]


def test_get_lists_a_map_in_one_line_and_prints_its_list(run_id: str, cli: Cli) -> None:
    lines = cli("get", run_id).out.splitlines()
    assert lines[1].startswith("model  train  list, 5 of 6 × JSON")
    assert lines[3] == "dropped: model[4]"
    assert cli("get", run_id, "model").facts == [0.1, 0.2, 0.1 * 3, 0.5, 1.5]
    assert json.loads(cli("get", run_id, "model[5]").out) == 1.5


def test_logs_of_an_item_are_those_of_its_job(run_id: str, cli: Cli) -> None:
    text = cli("logs", run_id, "train[4]").out
    assert "ValueError: diverged" in text and "train[5]: succeeded" in text
    assert "train[1]" not in text


def test_why_explains_a_mapped_step(run_id: str, cli: Cli) -> None:
    assert cli("why", run_id, "train").out == (
        "train (5 of 6 items succeeded, 1 failed): no earlier run of 'mapped' in "
        f"{Run.attach(run_id).report_data().store} has this step\n"
    )


def test_the_report_has_parameters_and_metrics_of_each_item(run_id: str, tmp_path: Path) -> None:
    run = Run.attach(run_id)
    (entry,) = run.report_data().maps
    assert entry.items[4].parameters == {"rate": "0.5", "depth": "2"}
    assert entry.items[4].is_dropped and entry.items[4].metrics == {"loss": 1.0}
    assert "Dropped: 1 of 6 items of train" in run.report(tmp_path / "r.html").read_text()


def test_a_run_with_too_few_items_fails_and_a_resumed_one_runs_only_those(
    rig: BackendRig, cli: Cli
) -> None:
    answer = cli("run", f"{rig.write('mapped')}:strict")
    assert answer.code == 1
    assert "train failed: 5 of 6 items succeeded, and at least 6 must" in answer.err
    assert DROPPED in answer.out.splitlines()[0] and "failed after" in answer.out
    resumed = cli("resume", "latest")
    assert resumed.code == 1
    facts = cli("status", "latest", "--json").facts
    assert facts["maps"]["train"]["states"] == {"cached": 5, "failed": 1}


def test_an_empty_list_is_read_as_an_empty_list(rig: BackendRig) -> None:
    result = rig.pipeline("mapped:nothing").run(progress=False)
    assert result.success
    assert dict(result.outputs) == {"count": 0, "square": [], "squared": []}
