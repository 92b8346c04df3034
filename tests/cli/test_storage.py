"""Cleanup of stores: cache entries, and garbage collection."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.submission import garbage
from tests.cli.conftest import Cli
from tests.cli.mistakes import MISTAKE, assert_error
from tests.cli.test_caching import scaling
from tests.support.rigs import BackendRig
from tests.support.stores import date_back

pytestmark = pytest.mark.contract

__all__ = ["scaling"]

OLD_S = 100 * 86400.0


@pytest.fixture
def aged(scaling: str, rig: BackendRig, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of two runs; the first one and all values are old."""
    monkeypatch.setattr(garbage, "SETTLE_S", 0.0)
    runs = [
        cli("run", scaling, "-c", f"factor={factor}", "--json").facts["run_id"] for factor in (2, 3)
    ]
    store = DirectoryArtifactStore(Path(".flowyml/aws"))
    for entry in list(store.walk("")):
        if runs[1] not in entry.key:
            date_back(store, entry.key, OLD_S)
    return runs


def test_old_runs_are_deleted_with_the_values_that_only_they_refer_to(
    aged: list[str], cli: Cli
) -> None:
    old, young = aged
    dry = cli("gc", "--older-than", "30d", "--dry-run", "--json").facts
    (facts,) = cli("gc", "--older-than", "30d", "--json").facts.values()
    assert [facts] == list(dry.values())
    assert facts["runs"] == [old]
    assert len(facts["entries"]) == 3
    assert {key.partition("/")[0] for key in facts["contents"]} == {"artifacts", "payloads"}
    assert [run["run_id"] for run in cli("runs", "--json").facts] == [young]
    assert json.loads(cli("get", young, "scaled").out) == [3, 6, 9]
    assert_error(cli("get", old, "scaled"), MISTAKE, f"No run '{old}'")


def test_the_number_and_size_of_deleted_objects_are_reported(aged: list[str], cli: Cli) -> None:
    answer = cli("gc", "--older-than", "30d")
    assert answer.code == 0
    assert "1  runs (" in answer.out
    assert "3  cache entries" in answer.out
    assert "to see the runs that are starting now" in answer.err
    again = cli("gc", "--older-than", "30d")
    assert "0  runs (0 bytes)" in again.out


@pytest.mark.parametrize("age", ["30", "d", "-1d", "30 days", ""])
def test_an_age_needs_a_unit(rig: BackendRig, cli: Cli, age: str) -> None:
    answer = cli("gc", f"--older-than={age}")
    assert_error(answer, MISTAKE, f"Invalid --older-than '{age}'", "s, m, h, d and w", "30d")


def test_a_backend_without_a_store_is_a_mistake(rig: BackendRig, cli: Cli) -> None:
    answer = cli("gc", "--older-than", "1d", "-b", "batch")
    assert_error(answer, MISTAKE, "No store for the backend 'batch'")


def test_cache_entries_are_listed_and_deleted_by_key(scaling: str, cli: Cli) -> None:
    assert cli("cache", "ls").out == "nothing is cached\n"
    run = cli("run", scaling, "--json").facts["run_id"]
    entries = cli("cache", "ls", "--json").facts
    assert {entry["step"] for entry in entries} == {"load", "scale"}
    assert {entry["run_id"] for entry in entries} == {run}
    assert cli("cache", "ls", "other", "--json").facts == []
    keys = {entry["step"]: entry["key"] for entry in entries}
    assert keys["load"][:12] in cli("cache", "ls").out
    assert cli("cache", "rm", keys["scale"][:12], "--yes").out == "deleted 1 cache entry\n"
    steps = cli("run", scaling, "--json").facts["steps"]
    assert (steps["load"]["cached"], steps["scale"]["cached"]) == (True, False)


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--all"], set()),
        (["--pipeline", "scaling"], set()),
        (["--pipeline", "other"], {"load", "scale"}),
        (["--step", "load"], {"scale"}),
        (["--pipeline", "scaling", "--step", "scale"], {"load"}),
    ],
)
def test_cache_entries_are_deleted_by_pipeline_and_step(
    scaling: str, cli: Cli, options: list[str], left: set[str]
) -> None:
    assert cli("run", scaling).code == 0
    assert cli("cache", "rm", *options, "--yes").code == 0
    assert {entry["step"] for entry in cli("cache", "ls", "--json").facts} == left


def test_a_key_must_match_one_cache_entry(scaling: str, cli: Cli) -> None:
    assert cli("run", scaling).code == 0
    assert_error(
        cli("cache", "rm", "xyz", "--yes"), MISTAKE, "no entries whose key starts with 'xyz'"
    )
    assert_error(cli("cache", "rm", "", "--yes"), MISTAKE, "2 entries whose key starts with ''")
    assert_error(cli("cache", "rm"), MISTAKE, "No cache entries selected")


def test_nothing_is_deleted_without_confirmation(
    scaling: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("run", scaling).code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("n\ny\n"))
    assert cli("cache", "rm", "--all").code == 1
    assert len(cli("cache", "ls", "--json").facts) == 2
    assert "deleted 2 cache entries" in cli("cache", "rm", "--all").out
