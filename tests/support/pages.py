"""The examples of a page of the documentation, as a reader would follow them.

- A block of Python whose first line is `# NAME.py` is a file of the project, and so is a block
  after `<!-- file: NAME -->`.
- A block `console` has commands after `$ `, and below each of them lines of its output.
  `...` is output that is left out.
- `<!-- not run: REASON -->` before a block: it needs what no test has, such as a GPU.
- `<!-- exit code: N -->` before a block: the exit code of its last command.
- `<!-- another terminal -->` before a block: its last command continues to run.
- `<!-- on the emulator -->`: the project has the settings of an emulated account.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Block", "Command", "blocks", "commands", "is_on_the_emulator"]

_BLOCK = re.compile(r"((?:<!-- [^\n]* -->\n)*)```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NOTE = re.compile(r"<!-- (not run|exit code|file): (.*?) -->")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        name: File that it is the content of, or None.
        not_run: Reason why it is not executed, or None.
        exit_code: Exit code of the last command.
        is_in_another_terminal: Whether the last command continues to run.
    """

    language: str
    text: str
    name: str | None
    not_run: str | None
    exit_code: int
    is_in_another_terminal: bool


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a block, with the lines of its output that the page shows."""

    line: str
    output: tuple[str, ...]

    def is_shown(self, printed: str) -> bool:
        """Return whether each line of the page is part of what the command has printed."""
        text = " ".join(printed.split())
        patterns = (".*?".join(map(re.escape, line.split("..."))) for line in self.output)
        return all(re.search(pattern, text) for pattern in patterns)


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found = []
    for comments, language, text in _BLOCK.findall(page):
        notes = dict(_NOTE.findall(comments))
        name = re.match(r"# (\w+\.py)\n", text)
        code = int(notes.get("exit code", 0))
        file = name[1] if name else notes.get("file")
        is_other = "<!-- another terminal -->" in comments
        found.append(Block(language, text, file, notes.get("not run"), code, is_other))
    return found


def commands(block: Block) -> list[Command]:
    """Return the commands of a block; `...` in it is output that is left out."""
    found = []
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        line, *output = part.splitlines()
        shown = (" ".join(text.split()) for text in output)
        found.append(Command(line, tuple(text for text in shown if text not in ("", "..."))))
    return found


def is_on_the_emulator(page: str) -> bool:
    """Return whether the examples of a page need an account."""
    return "<!-- on the emulator -->" in page
