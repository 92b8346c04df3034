"""Export to MLflow, of which a stand-in records the calls."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from flowyml_aws import Run
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.contract


class Param(NamedTuple):
    key: str
    value: str


class Metric(NamedTuple):
    key: str
    value: float
    timestamp: int
    step: int


class Server:
    """MLflow with one experiment: `mlflow.MlflowClient()` returns the server itself."""

    def __init__(self) -> None:
        self.experiment: str | None = None
        self.runs: list[dict[str, Any]] = []
        self.fails = False
        self.entities = SimpleNamespace(Param=Param, Metric=Metric)

    def MlflowClient(self) -> Server:
        return self

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="1") if self.experiment == name else None

    def create_experiment(self, name: str) -> str:
        self.experiment = name
        return "1"

    def search_runs(self, experiments: list[str], query: str, max_results: int) -> list[Any]:
        return [run for run in self.runs if f"'{run['run_name']}'" in query and "state" in run]

    def create_run(self, experiment: str, **facts: Any) -> Any:
        self.runs.append({**facts, "metrics": [], "params": [], "files": {}})
        return SimpleNamespace(info=SimpleNamespace(run_id=str(len(self.runs) - 1)))

    def log_batch(self, run: str, metrics: Any = (), params: Any = ()) -> None:
        if self.fails:
            raise RuntimeError("no such host")
        self.runs[int(run)]["metrics"] += metrics
        self.runs[int(run)]["params"] += params

    def log_artifacts(self, run: str, folder: str) -> None:
        files = (path for path in Path(folder).rglob("*") if path.is_file())
        found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
        self.runs[int(run)]["files"] = found

    def set_terminated(self, run: str, state: str, end_time: int) -> None:
        self.runs[int(run)]["state"] = state


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackendRig]:
    rig = BackendRig("local", tmp_path / "project")
    with rig.entered():
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example.com")
        monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
        yield rig


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setitem(sys.modules, "mlflow", server)
    return server


def test_a_run_is_exported_once_with_everything_that_it_logged(
    rig: BackendRig, server: Server
) -> None:
    result = rig.pipeline("metrics").run(progress=False)
    Run.attach(result.run_id).wait()
    (run,) = server.runs
    assert (server.experiment, run["state"]) == ("metrics", "FINISHED")
    assert run["tags"]["flowyml_aws.run_id"] == run["run_name"] == result.run_id
    assert {("size", "3"), ("rate", "0.5")} <= set(run["params"])
    loss = [metric for metric in run["metrics"] if metric.key == "train/loss"]
    assert [(metric.step, metric.value) for metric in loss][:2] == [(0, 0.5), (1, 0.25)]
    assert {metric.key for metric in run["metrics"]} == {
        "load/rows",
        "train/loss",
        "train/val/loss",
        "evaluate/score",
        "fail/before",
    }
    assert run["files"]["train/curve.png"] == b"\x89PNG\r\n\x1a\n"
    assert json.loads(run["files"]["evaluate/errors.json"])["data"] == [[1, 1.5]]
    assert run["files"]["evaluate/summary.txt"] == b"fine"


def test_an_export_that_fails_is_a_warning(
    rig: BackendRig, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.fails = True
    with caplog.at_level(logging.WARNING, "flowyml_aws"):
        result = rig.pipeline("metrics").run(progress=False)
    assert result.success
    assert f"run {result.run_id} was not exported to MLflow: no such host" in caplog.text


def test_without_mlflow_a_warning_names_the_extra(
    rig: BackendRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with caplog.at_level(logging.WARNING, "flowyml_aws"):
        assert rig.pipeline("metrics").run(progress=False).success
    assert "pip install 'flowyml-aws[mlflow]'" in caplog.text


def test_a_run_that_logged_nothing_is_not_exported(rig: BackendRig, server: Server) -> None:
    assert rig.pipeline("kinds").run(progress=False).success
    assert server.runs == []
