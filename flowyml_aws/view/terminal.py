"""Console of this package, on which values and output of jobs are only text."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from flowyml_aws.core.visible import visible

__all__ = ["Terminal"]


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
