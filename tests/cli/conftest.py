from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flowyml_aws.cli import main
from tests.support.rigs import BackendRig


class Answer(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Answer]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[BackendRig]:
    """A new project without an account, as the current folder."""
    rig = BackendRig("local", tmp_path / "project")
    with rig.entered():
        yield rig


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Function that runs `flowyml-aws` in this process."""

    def run(*arguments: str) -> Answer:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["flowyml-aws", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        return Answer(int(caught.value.code or 0), out, err)

    return run


@pytest.fixture
def file(rig: BackendRig) -> str:
    """A file with a pipeline without mistakes."""
    from tests.cli.mistakes import GOOD, write_file

    return write_file(GOOD, "good.py")
