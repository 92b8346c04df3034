"""Console of this package, and the command by which its user calls this program."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from flowyml_aws.core.visible import visible

__all__ = ["Terminal", "program"]

_NAME = "flowyml-aws"
_UNLIMITED = 100_000  # columns


class Terminal(Console):
    """Console that shows control characters in the content, and never breaks a word.

    Names, reasons and tracebacks of a run are written by its jobs: of their control characters,
    none is sent. Users copy ids, URIs and commands, and programs read them: in a file or a pipe,
    no line is broken, and on a narrow terminal, lines are broken only between words.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if not self.is_terminal and not self.is_jupyter and options.get("width") is None:
            self.width = _UNLIMITED

    def print(self, *objects: Any, **options: Any) -> None:
        """Print objects, with words that are longer than a line left whole."""
        super().print(*objects, **{"overflow": "ignore", "crop": False, **options})

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render an object, with control characters in its content as visible characters."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def program() -> str:
    """Return a command that works in the user's shell, even if the environment is not active."""
    script = Path(sys.executable).with_name(_NAME)
    if shutil.which(_NAME) is not None or not script.exists():
        return _NAME
    return os.path.relpath(script) if Path.cwd() in script.parent.parents else str(script)
