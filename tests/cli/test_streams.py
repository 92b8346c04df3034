"""Output never fails with a traceback, whatever the streams of the process are."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flowyml_aws.cli import main
from flowyml_aws.cli.app import app
from flowyml_aws.cli.streams import checked_streams
from tests.cli.conftest import Cli
from tests.cli.mistakes import GOOD, MISTAKE, assert_error, write_file
from tests.support.rigs import BackendRig

NO_OUTPUT, BUG = 74, 70
UNICODE = GOOD.replace("one", "größe").replace('"good"', '"größe → 1"')


def run_with(stdout: object, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run `flowyml-aws` in this process with a stream as its standard output."""
    monkeypatch.setattr(sys, "argv", ["flowyml-aws", *arguments])
    monkeypatch.setattr(sys, "stdout", stdout)
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_plans_are_printed_in_every_encoding(
    encoding: str, rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_file(UNICODE)
    data = io.BytesIO()
    stdout = io.TextIOWrapper(data, encoding)
    assert run_with(stdout, monkeypatch, "plan", file) == 0
    text = data.getvalue().decode(encoding)
    assert ("gr\\xf6\\xdfe" if encoding == "ascii" else "größe") in text


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_json_can_be_read_back_from_every_encoding(
    encoding: str, rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_file(UNICODE)
    data = io.BytesIO()
    assert run_with(io.TextIOWrapper(data, encoding), monkeypatch, "plan", file, "--json") == 0
    assert json.loads(data.getvalue())["pipeline"] == "größe → 1"


def test_arrows_and_dots_have_a_readable_form_in_ascii() -> None:
    data = io.BytesIO()
    stdout = io.TextIOWrapper(data, "ascii")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        with checked_streams():
            print("a → b … \udcff 😀")
            sys.stdout.flush()
    assert data.getvalue() == b"a -> b ... \\udcff \\U0001f600\n"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_full_disk_is_an_error_and_not_a_failed_run(
    options: tuple[str, ...],
    rig: BackendRig,
    file: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        code = run_with(full, monkeypatch, "plan", file, *options)
    err = capsys.readouterr().err
    assert code == NO_OUTPUT
    assert err.startswith("error: Can't write to standard output\n  why: No space left on device")


def test_a_reader_that_leaves_ends_the_command_without_a_message(
    rig: BackendRig,
    file: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        assert run_with(stdout, monkeypatch, "plan", file) == 141
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_closed_standard_output_discards_what_is_written(
    options: tuple[str, ...], rig: BackendRig, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_with(None, monkeypatch, "plan", file, *options) == 0


@pytest.mark.parametrize(
    "line",
    [
        "import sys; sys.stdout.close(); raise RuntimeError('no data')",
        "import sys; sys.stderr.close(); raise RuntimeError('no data')",
        "raise BaseException('no data')",
        "raise GeneratorExit('no data')",
    ],
)
def test_a_file_can_neither_hide_its_error_nor_end_the_program(
    line: str, rig: BackendRig, cli: Cli
) -> None:
    answer = cli("plan", write_file(line))
    assert_error(answer, MISTAKE, "bad.py can't be imported", "line 1: ", "no data")


def crash(cli: Cli, error: BaseException) -> tuple[int, str]:
    @app.command("crash")
    def crash() -> None:
        raise error

    try:
        code, out, err = cli("crash")
    finally:
        app.registered_commands.pop()
    assert out == ""
    return code, err


def test_a_bug_names_a_file_with_its_traceback_that_only_the_user_can_read(
    rig: BackendRig, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    code, err = crash(cli, ZeroDivisionError("a bug"))
    (report,) = (tmp_path / "state" / "flowyml-aws").iterdir()
    assert code == BUG
    assert err.startswith("error: Unexpected error: ZeroDivisionError: a bug\n  why: this is a bug")
    assert str(report) in err and "report it" in err
    assert "Traceback" not in err
    assert "Traceback (most recent call last)" in report.read_text()
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "place", [lambda folder: "relative", lambda folder: str(folder / "file" / "state")]
)
def test_a_bug_is_reported_even_if_the_folder_can_not_be_written(
    place: Callable[[Path], str],
    rig: BackendRig,
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setenv("XDG_STATE_HOME", place(tmp_path))
    code, err = crash(cli, KeyError("x"))
    assert code == BUG
    report = next(word for word in err.split() if word.endswith(".txt"))
    assert "KeyError: 'x'" in Path(report).read_text()
    Path(report).unlink()


def test_an_error_of_the_operating_system_is_not_called_a_bug(rig: BackendRig, cli: Cli) -> None:
    code, err = crash(cli, OSError(24, "Too many open files"))
    assert code == BUG
    assert "Too many open files" in err and "the operating system refused" in err
