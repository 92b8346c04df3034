"""Output, values and errors of jobs can't control the user's terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flowyml_aws.cli import main
from flowyml_aws.cli.facts import json_text
from tests.cli.conftest import Cli
from tests.support.pipelines.hostile import CLEAR
from tests.support.rigs import BackendRig

OnTerminal = Callable[..., str]

SHOWN = r"\x1b]0;owned\x07\x1b[2J\x9b2J"
WITHOUT_BELL = SHOWN.replace(r"\x07", "")  # rich removes it


@contextmanager
def terminal(patch: pytest.MonkeyPatch) -> Iterator[int]:
    """Make a terminal the standard output and standard error; yield its other end."""
    master, slave = os.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        yield master
    os.close(master)


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> OnTerminal:
    """Function that runs `flowyml-aws` on a terminal, and returns what the terminal receives."""

    def run(*arguments: str) -> str:
        with monkeypatch.context() as patch, terminal(patch) as master:
            patch.setattr(sys, "argv", ["flowyml-aws", *arguments])
            patch.setenv("COLUMNS", "200")
            patch.setenv("NO_COLOR", "1")
            with pytest.raises(SystemExit):
                main()
            os.write(sys.stdout.fileno(), b"\x04end")
            received = b""
            while not received.endswith(b"\x04end"):
                received += os.read(master, 65536)
        return received.removesuffix(b"\x04end").decode()

    return run


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> tuple[BackendRig, str]:
    rig = BackendRig("local", tmp_path_factory.mktemp("hostile") / "project")
    with rig.entered():
        return rig, rig.pipeline("hostile").run(progress=False).run_id


@pytest.fixture
def run_id(failed: tuple[BackendRig, str]) -> Iterator[str]:
    rig, run_id = failed
    with rig.entered():
        yield run_id


def is_harmless(received: str) -> bool:
    return not any(part in received for part in ("\x1b]", "\x1b[2J", "\x9b", "\x07"))


@pytest.mark.contract
@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (("status",), f"raised {WITHOUT_BELL}"),
        (("attach",), f"raised {WITHOUT_BELL}"),
        (("logs",), f"printed {SHOWN}"),
        (("get", "text"), f"value {SHOWN}"),
        (("doctor", "--run"), ""),
    ],
)
def test_a_terminal_shows_control_characters_of_jobs(
    run_id: str, on_terminal: OnTerminal, command: tuple[str, ...], shown: str
) -> None:
    name, *rest = command
    arguments = (name, *rest, run_id) if "--run" in rest else (name, run_id, *rest)
    received = on_terminal(*arguments)
    assert is_harmless(received)
    assert shown in received


@pytest.mark.contract
def test_a_terminal_shows_the_last_state_of_a_progress_bar(
    run_id: str, on_terminal: OnTerminal
) -> None:
    assert "10%" not in on_terminal("logs", run_id)


@pytest.mark.contract
def test_files_and_pipes_get_logs_and_values_unchanged(run_id: str, cli: Cli) -> None:
    assert f"10%\r20%\rprinted {CLEAR}" in cli("logs", run_id).out
    assert cli("get", run_id, "text").out == f"value {CLEAR}\n"


@pytest.mark.contract
def test_json_has_no_control_characters_anywhere(run_id: str, cli: Cli) -> None:
    for command in (("logs", run_id, "--json"), ("status", run_id, "--json")):
        assert is_harmless(cli(*command).out)
    assert json_text("\x9b\x7f") == r'"\u009b\u007f"'


def test_errors_show_control_characters(rig: BackendRig, on_terminal: OnTerminal) -> None:
    file = Path("bad.py")
    file.write_text(f"raise RuntimeError({CLEAR!r})")
    received = on_terminal("plan", str(file))
    assert is_harmless(received)
    assert SHOWN in received
