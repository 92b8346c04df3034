"""Console of this package, and the command by which its user calls this program."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from flowyml_aws.core.visible import visible

__all__ = ["Terminal", "program"]

_NAME = "flowyml-aws"


class Terminal(Console):
    """Console that shows control characters in the content, and sends only its own controls.

    Names, reasons and tracebacks of a run are written by its jobs.
    """

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
