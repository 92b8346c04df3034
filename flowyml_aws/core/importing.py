"""Protection against starting a run while a file is imported for its pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from flowyml_aws.core.errors import PipelineFileError

__all__ = ["importing", "refuse_while_importing"]

_importing: ContextVar[str | None] = ContextVar("flowyml_aws_importing", default=None)


@contextmanager
def importing(what: str) -> Iterator[None]:
    """Mark the block as an import, in which no run may start; errors name the code as `what`."""
    token = _importing.set(what)
    try:
        yield
    finally:
        _importing.reset(token)


def refuse_while_importing() -> None:
    """Raise an error if a run is started by an import.

    Raises:
        PipelineFileError: The code is being imported, so that each import would start a run.
    """
    if (what := _importing.get()) is not None:
        raise PipelineFileError(
            what=f"{what} runs a pipeline while it is imported",
            why="the client and every job import it for its steps; each import would start a run",
            fix='move the call of run() or submit() under `if __name__ == "__main__":`',
        )
