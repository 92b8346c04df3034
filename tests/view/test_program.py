from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from flowyml_aws.view import program


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the `bin` folder of a virtual environment with the program and the running Python."""
    folder = tmp_path / "env" / "bin"
    folder.mkdir(parents=True)
    (folder / "flowyml-aws").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", os.devnull)
    return folder


def test_the_command_is_the_program_name_if_the_shell_finds_it(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(environment))
    assert program() == "flowyml-aws"


def test_the_command_is_a_path_if_the_environment_is_not_active(
    environment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert program() == "env/bin/flowyml-aws"
    monkeypatch.chdir(environment)  # a bare name would not be found
    assert program() == str(environment / "flowyml-aws")
