"""The sections of `docs/contributing/how-to-add.md`, as files, changes and commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Command", "HowTo"]

PAGE = Path(__file__).parents[2] / "docs" / "contributing" / "how-to-add.md"
_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.M | re.S)


@dataclass(frozen=True)
class Command:
    """A command of the page, and the strings that its output contains."""

    words: tuple[str, ...]
    output: tuple[str, ...]


@dataclass(frozen=True)
class HowTo:
    """One section of the page."""

    text: str

    @classmethod
    def section(cls, title: str) -> HowTo:
        """Return the section with this title."""
        sections = re.split(r"^## ", PAGE.read_text("utf-8"), flags=re.M)
        (text,) = (section for section in sections if section.startswith(f"{title}\n"))
        return cls(text)

    def follow(self, root: Path) -> None:
        """Write the files of the section and apply its changes in a copy of the repository."""
        self.write_files(root)
        for block in self._blocks("diff"):
            self._change(root, block)

    def write_files(self, root: Path) -> None:
        """Write the new files of the section below a folder."""
        for block in self._blocks("python"):
            name, _, code = block.partition("\n")
            path = root / name.removeprefix("# ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code, "utf-8")

    def commands(self) -> list[Command]:
        """Return the commands of the section."""
        return [
            Command(tuple(first.split()), tuple(output))
            for block in self._blocks("console")
            for first, *output in map(str.splitlines, re.split(r"^\$ ", block, flags=re.M)[1:])
        ]

    def _blocks(self, language: str) -> Iterator[str]:
        for indent, named, block in _BLOCK.findall(self.text):
            if named == language:
                yield re.sub(rf"^{indent}", "", block, flags=re.M)

    def _change(self, root: Path, block: str) -> None:
        name, *lines = block.splitlines()
        path = root / name.removeprefix("--- ")
        before, after = (
            "".join(f"\n{line[1:]}" for line in lines if line[:1] in ("", " ", kind))
            for kind in "-+"
        )
        text = "\n" + path.read_text("utf-8")
        assert text.count(f"{before}\n") == 1, f"{path} does not contain once:{before}"
        path.write_text(text.replace(f"{before}\n", f"{after}\n")[1:], "utf-8")
