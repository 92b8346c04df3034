"""Mistakes for the command line, and the check of their error messages."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Answer

__all__ = ["BAD_DATA", "GOOD", "MISTAKE", "REFUSED", "assert_error", "write_file"]

MISTAKE, REFUSED, BAD_DATA = 2, 3, 4

GOOD = """
from flowyml_aws import Pipeline, step

@step
def one():
    return 1

pipeline = Pipeline("good").add_step(one)
"""


def assert_error(answer: Answer, code: int, *parts: str) -> None:
    """Check the exit code, the form of the error message, and parts of its text."""
    assert answer.code == code, answer.err
    assert answer.err.startswith("error: ")
    assert "\n  why: " in answer.err and "\n  fix: " in answer.err
    assert "Traceback" not in answer.err
    for part in parts:
        assert part in answer.err


def write_file(text: str, name: str = "bad.py") -> str:
    """Write a file into the current folder, and return its name."""
    Path(name).write_text(text)
    return name
