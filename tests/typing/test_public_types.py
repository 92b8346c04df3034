"""Type checkers understand typical user code, and report the mistakes in it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

pytestmark = pytest.mark.contract

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
RIGHT, WRONG = FOLDER / "user_code.py", FOLDER / "wrong_user_code.py"


Lines = dict[str, set[int]]


def mypy_errors() -> Lines:
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
    done = run([*command, str(RIGHT), str(WRONG)])
    errors: Lines = defaultdict(set)
    for name, line in re.findall(r"(\w+\.py):(\d+): error", done.stdout):
        errors[name].add(int(line))
    return errors


def pyright_errors() -> Lines:
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--level", "error"]
    done = run([*command, "--pythonpath", sys.executable, str(RIGHT), str(WRONG)])
    errors: Lines = defaultdict(set)
    for found in json.loads(done.stdout)["generalDiagnostics"]:
        if found["severity"] == "error":
            errors[Path(found["file"]).name].add(found["range"]["start"]["line"] + 1)
    return errors


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr  # it found the mistakes
    return done


@pytest.mark.parametrize("checker", [mypy_errors, pyright_errors])
def test_a_type_checker_accepts_typical_code_and_reports_the_lines_with_mistakes(checker) -> None:
    lines = enumerate(WRONG.read_text("utf-8").splitlines(), 1)
    mistakes = {number for number, line in lines if line.endswith("# error")}
    assert checker() == {WRONG.name: mistakes}
