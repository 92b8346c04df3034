"""`flowyml-aws replay`, and the examples of `docs/debugging.md`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Answer
from tests.cli.mistakes import BAD_DATA, MISTAKE, assert_error
from tests.support.rigs import DEADLINE_S, BackendRig, new_rig

pytestmark = pytest.mark.contract

PAGE = (Path(__file__).parents[2] / "docs/debugging.md").read_text("utf-8")
PROGRAM = re.findall(r"```python\n(# demo\.py\n.*?)```", PAGE, flags=re.S)[0]
EXAMPLES = re.findall(r"```console\n\$ flowyml-aws (.*?)\n(.*?)```", PAGE, flags=re.S)


def normal(text: str) -> list[str]:
    """Return the lines of an output without times, and without what depends on the Python."""
    lines = re.sub(r"\d+\.\d+ s", "T s", text).splitlines()
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
    for number, (command, expected) in enumerate(EXAMPLES):
        code, out, err = rig.command(*command.split())
        assert code == (1 if number == 0 else 0)
        assert normal(err + out) == normal(expected)
        program.write_text(PROGRAM.replace("in rows:", "in rows[1:]:"), "utf-8")
    assert stored(rig) == before
    # The code of the run still fails, and has its own line in the traceback.
    code, out, err = rig.command("replay", "latest", "divide", "--recorded", "--json")
    assert code == 1
    assert json.loads(out)["report"]["failure"]["kind"] == "ZeroDivisionError"
    debugging = ("-m", "flowyml_aws", "replay", "latest", "divide", "--recorded", "--pdb")
    with rig.client(*debugging, script="p row, rows\nq\n") as process:
        out, err = process.communicate(timeout=DEADLINE_S)
    assert "(Pdb) (0, [0, 1, 2, 3])" in out, err
    refused = Answer(*rig.command("replay", "latest", "divide", "--no-pickle"))
    assert_error(refused, BAD_DATA, "The steps of run", "the option or the setting forbids it")
    assert_error(Answer(*rig.command("replay", "latest", "dvide")), MISTAKE, "mean 'divide'?")


def test_an_item_of_a_list_of_the_run_is_replayed_from_s3(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rig = new_rig("batch", tmp_path, request)
    program = re.sub(r"shares = \[\].*return shares", "return 12 / rows", PROGRAM, flags=re.S)
    program = program.replace("load, divide", 'load, divide.map("rows", expect=4)')
    (rig.folder / "demo.py").write_text(program, "utf-8")
    assert rig.command("run", "demo.py", "--backend", "batch")[0] == 1
    code, out, err = rig.command("replay", "latest", "divide", "--item", "3", "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert (facts["step"], facts["outputs"]["shares[3]"]) == (
        "divide[3]",
        {"type": "float", "value": "4.0", "same": True},
    )
    assert rig.command("replay", "latest", "divide[0]")[0] == 1
