"""The list of the runs that this user started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowyml_aws.submission.own_runs import is_own_run, own_runs_file, remember_run

STORE = "s3://bucket/flowyml"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def test_a_run_is_own_after_it_was_remembered() -> None:
    assert not is_own_run(STORE, "r-1")
    remember_run(STORE, "r-1")
    remember_run(STORE, "r-2")
    assert is_own_run(STORE, "r-1") and is_own_run(STORE, "r-2")


@pytest.mark.parametrize(
    ("store", "run"), [("s3://other/flowyml", "r-1"), (STORE, "r-11"), (STORE, "r-"), ("", "r-1")]
)
def test_a_run_of_the_same_name_in_another_store_is_not_own(store: str, run: str) -> None:
    remember_run(STORE, "r-1")
    assert not is_own_run(store, run)


def test_the_list_of_another_user_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember_run(STORE, "r-1")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    assert not is_own_run(STORE, "r-1")


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_only_the_user_can_read_and_write_the_list(state: Path, umask: int) -> None:
    previous = os.umask(umask)
    try:
        remember_run(STORE, "r-1")
    finally:
        os.umask(previous)
    file = own_runs_file(os.environ)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_the_default_folder_is_in_the_home_folder() -> None:
    home = Path.home() / ".local/state/flowyml-aws/runs"
    assert own_runs_file({}) == home
    assert own_runs_file({"XDG_STATE_HOME": "relative"}) == home
