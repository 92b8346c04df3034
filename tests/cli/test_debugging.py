"""`flowyml-aws replay` and `exec`, and the examples of `docs/debugging.md`."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import Answer
from tests.cli.mistakes import BAD_DATA, MISTAKE, assert_error
from tests.support.rigs import DEADLINE_S, BackendRig, eventually, new_rig

pytestmark = pytest.mark.contract

PAGE = (Path(__file__).parents[2] / "docs/debugging.md").read_text("utf-8")
PROGRAM = re.findall(r"```python\n(# demo\.py\n.*?)```", PAGE, flags=re.S)[0]
EXAMPLES = re.findall(r"```console\n\$ flowyml-aws (.*?)\n(.*?)```", PAGE, flags=re.S)
FAILING, CHANGED, EXEC, SHELL = EXAMPLES
PAUSED = re.findall(r"```python\n(# paused\.py\n.*?)```", PAGE, flags=re.S)[0]
START = re.findall(r"`flowyml-aws (run paused\.py .*?)`", PAGE)[0]
MAPPED = """
from flowyml_aws import Pipeline, step

@step(outputs=["rows"], execution_group="first")
def load():
    return list(range(4))

@step(inputs=["rows"], outputs=["size"], execution_group="first")
def count(rows):
    return len(rows)

@step(inputs=["rows"], outputs=["shares"])
def divide(rows):
    return 12 / rows

pipeline = Pipeline("mapped").add_steps([load, count, divide.map("rows", expect=4)])
"""


def normal(text: str) -> list[str]:
    """Return the lines of an output without times, ids, and what depends on the Python."""
    lines = re.sub(r"\d+\.\d+ s|(?<=command-)[0-9a-f]{16}", "?", text).splitlines()
    return [line.rstrip() for line in lines if line.strip() and not re.fullmatch(r"[\s~^]+", line)]


def stored(rig: BackendRig) -> dict[str, bytes]:
    files = (rig.folder / ".flowyml").rglob("*")
    return {str(file): file.read_bytes() for file in files if file.is_file()}


def test_the_examples_of_the_page_print_what_it_says(tmp_path: Path) -> None:
    rig = BackendRig("local", tmp_path / "project")
    program = rig.folder / "demo.py"
    program.write_text(PROGRAM, "utf-8")
    assert rig.command("run", "demo.py")[0] == 1
    before = stored(rig)
    for (command, expected), expected_code in ((FAILING, 1), (CHANGED, 0)):
        code, out, err = rig.command(*shlex.split(command))
        assert code == expected_code
        assert normal(err + out) == normal(expected)
        program.write_text(PROGRAM.replace("in rows:", "in rows[1:]:"), "utf-8")
    # The code of the run still fails.
    code, out, err = rig.command("replay", "latest", "divide", "--recorded", "--json")
    assert code == 1
    assert json.loads(out)["report"]["failure"]["kind"] == "ZeroDivisionError"
    debugging = ("-m", "flowyml_aws", "replay", "latest", "divide", "--recorded", "--pdb")
    with rig.client(*debugging, script="p row, rows\nq\n") as process:
        out, err = process.communicate(timeout=DEADLINE_S)
    assert "(Pdb) (0, [0, 1, 2, 3])" in out, err
    refused = Answer(*rig.command("replay", "latest", "divide", "--no-pickle"))
    assert_error(
        refused, BAD_DATA, "The steps and values of run", "the option or the setting forbids it"
    )
    assert_error(Answer(*rig.command("replay", "latest", "dvide")), MISTAKE, "mean 'divide'?")
    assert_error(Answer(*rig.command("shell", "latest", "divide")), MISTAKE, "divide is failed")
    assert stored(rig) == before
    command, expected = EXEC
    code, out, err = rig.command(*shlex.split(command))
    assert code == 0, err
    assert set(expected.splitlines()) <= set(out.splitlines())
    assert "\ninput: rows\n" in err
    away = ("exec", "--like", "divide", "--backend")
    assert_error(Answer(*rig.command(*away, "batch", "--", "ls")), MISTAKE, "only this machine")
    assert_error(Answer(*rig.command(*away, "btach", "--", "ls")), MISTAKE, "Unknown backend")


def test_an_interrupt_cancels_a_command(tmp_path: Path) -> None:
    rig = BackendRig("local", tmp_path / "project")
    (rig.folder / "demo.py").write_text(PROGRAM, "utf-8")
    rig.command("run", "demo.py")
    script = f'echo $$ > "{tmp_path}/new"; mv "{tmp_path}/new" "{tmp_path}/pid"; exec sleep 1000'
    options = ("exec", "--like", "load", "--", "sh", "-c", script)
    with rig.client("-m", "flowyml_aws", *options) as process:
        eventually((tmp_path / "pid").exists)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130, err
    assert "cancelled: see" in err
    assert json.loads(rig.command("status", "latest", "--json")[1])["state"] == "cancelled"
    with pytest.raises(ProcessLookupError):
        os.killpg(int((tmp_path / "pid").read_text("utf-8")), 0)


def test_steps_of_a_run_on_aws_are_replayed_here_and_copied_there(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rig = new_rig("batch", tmp_path, request)
    (rig.folder / "demo.py").write_text(MAPPED, "utf-8")
    assert rig.command("run", "demo.py", "--backend", "batch")[0] == 1
    code, out, err = rig.command("replay", "latest", "divide", "--item", "3", "--json")
    assert code == 0, err
    facts = json.loads(out)
    shares = {"type": "float", "value": "4.0", "same": True}
    assert (facts["step"], facts["outputs"]) == ("divide[3]", {"shares[3]": shares})
    # A failed map: its step has one input, the item.
    command = ("--", "python", "-m", "flowyml_aws.job.inputs", "rows[3]")
    code, _, err = rig.command("exec", "--run", "latest:mapped", "--like", "divide[3]", *command)
    assert code == MISTAKE
    assert "fix: add --yes" in err
    for service in ("batch", "sagemaker"):
        like = ("exec", "--like", "divide[3]", "--yes", "--backend", service)
        code, out, err = rig.command(*like, *command)
        assert code == 0, err + out
        assert "3" in out.splitlines()
        assert "cost of 60 min with the start of the machine: $0." in err
    runs = json.loads(rig.command("runs", "--json")[1])
    assert [run["pipeline"] for run in runs][:2] == ["exec-mapped", "exec-mapped"]


def test_the_shell_of_the_page_ends_the_wait_of_a_step(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rig = new_rig("batch", tmp_path, request)
    paused = PAUSED.replace("/tmp/go", str(tmp_path / "go")).replace("sleep(1)", "sleep(0.05)")
    (rig.folder / "paused.py").write_text(paused, "utf-8")
    command, expected = SHELL
    with rig.client("-m", "flowyml_aws", *shlex.split(START)) as process:
        next(line for line in process.stderr if "step wait: running" in line)
        code, out, err = rig.command(*shlex.split(command))
        assert code == 0, err
        assert normal(out) == normal(expected)
        _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    assert rig.command("get", "latest", "words")[1] == "hello\n\n"
