"""`docs/tutorial`, followed word for word by a shell with an empty home.

`pip install 'flowyml-aws[testing]'` installs this checkout, without a download: the new
environment finds the dependencies in the environment of the tests. This is the only replacement.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pages import Block, blocks, commands
from tests.support.rigs import CHECKOUT, HERMETIC

pytestmark = pytest.mark.system

PAGES = sorted((Path(__file__).parents[2] / "docs/tutorial").glob("*.md"))
PRELUDE = f"""
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
pip() {{
  [ "$*" = 'install flowyml-aws[testing]' ] || exit 99
  echo {shlex.quote(sysconfig.get_path("purelib"))} \\
    > "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/dependencies.pth"
  python -m pip install --quiet --no-deps --no-build-isolation {shlex.quote(str(CHECKOUT))}
}}
fail() {{ echo "$1: exit code $2"; cat "$3"; exit 1; }}
"""
LIMIT_S = 300


def in_other_terminal(block: Block, output: Path) -> str:
    """Return the lines of a shell that start a program and wait until it is ready."""
    *first, last = commands(block)
    before = "".join(f"{command.line}\n" for command in first)
    wait = f"until grep -q {shlex.quote(last.output[-1])} {output}; do sleep 0.1; done"
    return f"(\n{before}exec {last.line}\n) 2>{output} &\n{wait}\n"


def script(folder: Path) -> Iterator[str]:
    """Yield the parts of a shell script that follows the pages."""
    yield PRELUDE
    for page in PAGES:
        for number, block in enumerate(blocks(page.read_text("utf-8"))):
            output = folder / f"{page.stem}-{number}"
            if block.not_run is not None:
                continue
            if block.name:
                yield f"cat >{block.name} <<'END OF FILE'\n{block.text}END OF FILE\n"
            elif block.is_in_another_terminal:
                yield in_other_terminal(block, output)
            else:
                listed = commands(block)
                for index, command in enumerate(listed, 1):
                    file = f"{output}-{index}"
                    code = block.exit_code if index == len(listed) else 0
                    title = shlex.quote(command.line)
                    yield f"{{\n{command.line}\n}} >{file} 2>&1\ncode=$?\n"
                    yield f"[ $code -eq {code} ] || fail {title} $code {file}\n"


def test_a_shell_with_an_empty_home_follows_the_tutorial(tmp_path: Path) -> None:
    home, programs, outputs = (tmp_path / name for name in ("home", "bin", "outputs"))
    for folder in (home, programs, outputs):
        folder.mkdir()
    (programs / "python3").symlink_to(sys._base_executable)  # type: ignore[attr-defined]
    done = subprocess.run(
        ["bash"],
        input="".join(script(outputs)),
        cwd=home,
        env={
            **HERMETIC,
            "HOME": str(home),
            "PATH": f"{programs}:{os.defpath}",
            "LANG": "C.UTF-8",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for page in PAGES:
        for number, block in enumerate(blocks(page.read_text("utf-8"))):
            if block.not_run is None and not block.is_in_another_terminal:
                for index, command in enumerate(commands(block), 1):
                    printed = (outputs / f"{page.stem}-{number}-{index}").read_text("utf-8")
                    assert command.is_shown(printed), f"{command.line}\n{printed}"
