"""The examples of `docs/how-to` work, and print what the pages say."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.support.pages import Block, blocks, commands, is_on_the_emulator
from tests.support.rigs import DEADLINE_S, BackendRig, new_rig

PAGES = sorted((Path(__file__).parents[1] / "docs/how-to").glob("*.md"))


def run_commands(rig: BackendRig, block: Block) -> None:
    parsed = commands(block)
    for command in parsed:
        program, *arguments = shlex.split(command.line)
        python = {"flowyml-aws": ("-m", "flowyml_aws"), "python": ()}[program]
        with rig.client(*python, *arguments) as process:
            out, err = process.communicate(timeout=DEADLINE_S)
        expected = block.exit_code if command is parsed[-1] else 0
        assert process.returncode == expected, f"{command.line}\n{out}{err}"
        assert command.is_shown(out + err), f"{command.line}\n{out}{err}"


@pytest.mark.contract
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_print_what_it_says(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    text = page.read_text("utf-8")
    rig = new_rig("batch" if is_on_the_emulator(text) else "local", tmp_path, request)
    examples = blocks(text)
    for block in examples:
        if block.name:
            (rig.folder / block.name).write_text(block.text, "utf-8")
        elif block.language == "console" and block.not_run is None:
            run_commands(rig, block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_example_of_a_page_is_executed_or_says_why_not(page: Path) -> None:
    text = page.read_text("utf-8")
    found = blocks(text)
    assert text.count("\n```") == 2 * len(found), "a block has no language"
    console = [block for block in found if block.language == "console" and not block.not_run]
    used = [command.line for block in console for command in commands(block)]
    assert used, "nothing is executed"
    for block in found:
        if block.language == "python" and block.not_run is None:
            assert block.name, block.text
            imported = f"from {Path(block.name).stem} import"
            is_used = any(block.name in line for line in used) or imported in text
            assert is_used, f"{block.name} is not executed"
