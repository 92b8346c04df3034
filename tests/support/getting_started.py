"""The commands of `docs/getting-started.md`, in order, and those that no test runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["NOT_RUN", "PAGE", "Command", "block", "commands"]

PAGE = (Path(__file__).parents[2] / "docs/getting-started.md").read_text("utf-8")

NOT_RUN = {
    "pip install -r requirements.txt": "`make infra-tools` installs them for the tests of CDK",
    "npx aws-cdk@2 bootstrap": "Can't be deployed: the emulator has no CloudFormation.",
    "npx aws-cdk@2 deploy -c name=main": "Can't be deployed: the emulator has no CloudFormation.",
    "npx aws-cdk@2 destroy": "Can't be deployed: the emulator has no CloudFormation.",
    "terraform destroy": "`tests/infra/test_terraform.py` runs it",
}
"""Commands that the walk does not run, with the reason on the page or in this repository."""


@dataclass(frozen=True)
class Command:
    """A command line of the page.

    Attributes:
        section: Heading above it.
        text: The command, without line breaks.
    """

    section: str
    text: str


def commands() -> list[Command]:
    """Return the indented command lines of the page, in order."""
    found: list[Command] = []
    section, is_fenced, continued = "", False, ""
    for line in PAGE.splitlines():
        is_fenced ^= line.startswith("```")
        if line.startswith("#") and not is_fenced:
            section = line.lstrip("# ")
        if is_fenced or not line.startswith("    "):
            continue
        continued += line.strip().removesuffix("\\")
        if not line.endswith("\\"):
            found.append(Command(section, continued))
            continued = ""
    return found


def block(language: str, first_line: str) -> str:
    """Return the only fenced block with this language and beginning."""
    (code,) = re.findall(rf"```{language}\n({re.escape(first_line)}.*?)```", PAGE, re.S)
    return str(code)
