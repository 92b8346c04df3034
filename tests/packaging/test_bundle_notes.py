"""Plans name what jobs would not get, and plans do not fail because of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws.cli.load import load_pipeline
from flowyml_aws.core.errors import InvalidPipelineError
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.contract

MIB = 2**20


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    rig = BackendRig("batch", tmp_path / "project")
    monkeypatch.chdir(rig.folder)
    return str(rig.write("noisy"))


def notes(file: str, backend: str) -> list[str]:
    return [note for note in load_pipeline(file).plan(backend=backend).notes if "bundle" in note]


def test_a_plan_for_aws_names_the_files_that_are_left_out(file: str) -> None:
    Path(".env").touch()
    Path("env/conda-meta").mkdir(parents=True)
    Path("env/python").touch()
    (note,) = notes(file, "batch")
    assert note.startswith("not in the bundle: .env (likely secret), env/ (virtual environment);")
    assert notes(file, "local") == []


def test_a_plan_reports_a_bundle_that_a_run_would_refuse(file: str) -> None:
    Path("data.bin").write_bytes(bytes(51 * MIB))
    (note,) = notes(file, "batch")
    assert note.startswith("The bundle is too large: the project's files total 51 MiB")
    with pytest.raises(InvalidPipelineError, match="The bundle is too large"):
        load_pipeline(file).submit(backend="batch")


def test_the_limit_of_a_bundle_is_a_setting(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("data.bin").write_bytes(bytes(2 * MIB))
    assert notes(file, "batch") == []
    monkeypatch.setenv("FLOWYML_AWS_MAX_BUNDLE_MIB", "1")
    (note,) = notes(file, "batch")
    assert "the limit is 1 MiB; the largest are data.bin (2 MiB)" in note


def test_a_plan_without_git_in_a_repository_has_a_note(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".git").mkdir()
    monkeypatch.setenv("PATH", "")
    plan = load_pipeline(file).plan(backend="batch")
    assert any("git can't list the files" in note for note in plan.notes)
