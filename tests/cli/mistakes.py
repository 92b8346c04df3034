"""What mistakes are made of, and how each is told."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Answer

__all__ = ["GOOD", "MISTAKE", "REFUSED", "told", "written"]

MISTAKE, REFUSED = 2, 3

GOOD = """
from flowyml_aws import Pipeline, step

@step
def one():
    return 1

pipeline = Pipeline("good").add_step(one)
"""


def told(answer: Answer, code: int, *texts: str) -> None:
    """The command ended with this code and told these texts, in this form."""
    assert answer.code == code, answer.err
    assert answer.err.startswith("error: ")
    assert "\n  why: " in answer.err and "\n  fix: " in answer.err
    assert "Traceback" not in answer.err
    for text in texts:
        assert text in answer.err


def written(text: str, name: str = "bad.py") -> str:
    Path(name).write_text(text)
    return name
