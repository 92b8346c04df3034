"""Runs, artifacts and cache entries that released versions have stored are still readable.

The archives are in tests/compat; `scripts/store-of-version` makes one of a release.
"""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import Cli

pytestmark = pytest.mark.contract
ARCHIVES = sorted((Path(__file__).parents[1] / "compat").glob("*.tar.xz"))


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def project(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Project folder with the pipeline, and the store of an older version."""
    with tarfile.open(request.param) as archive:
        if sys.version_info >= (3, 12):
            archive.extractall(tmp_path, filter="data")
        else:
            archive.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def facts(cli: Cli, *arguments: str) -> Any:
    answer = cli(*arguments, "--json")
    assert answer.code == 0, answer
    return json.loads(answer.out)


def test_the_runs_of_an_older_version_are_shown(project: Path, cli: Cli) -> None:
    failed, succeeded = facts(cli, "runs")
    assert [failed["state"], succeeded["state"]] == ["failed", "succeeded"]
    status = facts(cli, "status", failed["run_id"])
    assert "as requested" in next(job["reason"] for job in status["jobs"] if job["name"] == "add")
    assert status["cached"].keys() >= {"count", "spread"}
    differences = facts(cli, "compare", succeeded["run_id"], failed["run_id"])["values"]
    assert {value["name"] for value in differences} >= {"fails"}
    assert "as requested" in cli("logs", failed["run_id"], "add").out
    assert cli("report", succeeded["run_id"], "--out", "report.html").code == 0
    assert "total" in (project / "report.html").read_text("utf-8")


def test_the_values_of_an_older_version_are_loaded(project: Path, cli: Cli) -> None:
    run = facts(cli, "runs")[1]["run_id"]
    assert cli("get", run, "total").out == "66.0\n"
    assert json.loads(cli("get", run, "squares").out) == [1, 4, 9]
    assert cli("get", run, "matrix", "--out", "matrix.npy").code == 0
    assert np.load("matrix.npy").tolist()[0] == [0.0, 1.0, 2.0]


def test_a_run_that_an_older_version_left_failed_is_resumed(project: Path, cli: Cli) -> None:
    run = facts(cli, "runs")[0]["run_id"]
    answer = cli("resume", run, "--json")
    assert answer.code == 1
    resumed = json.loads(answer.out)["run_id"]
    status = facts(cli, "status", resumed)
    assert {job["name"]: job["state"] for job in status["jobs"]} == {"add": "failed"}


@pytest.mark.version_sensitive
@pytest.mark.skipif(sys.version_info[:2] != (3, 10), reason="cache entries of Python 3.10")
def test_the_steps_of_an_older_version_are_cached(project: Path, cli: Cli) -> None:
    run = json.loads(cli("run", "pipeline.py", "--json").out)["run_id"]
    status = facts(cli, "status", run)
    assert status["cached"].keys() >= {"count", "spread", "add"}
    assert status["jobs"] == []


def test_the_entries_of_an_older_version_are_listed_and_deleted(project: Path, cli: Cli) -> None:
    entries = facts(cli, "cache", "ls")
    assert {entry["step"] for entry in entries} == {"spread", "add", "square"}
    assert cli("cache", "rm", entries[0]["key"], "--yes").code == 0
    assert len(facts(cli, "cache", "ls")) == len(entries) - 1
