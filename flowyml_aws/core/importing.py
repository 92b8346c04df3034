"""While a file is only read for its pipeline, nothing in it may start a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from flowyml_aws.core.errors import PipelineFileError

__all__ = ["importing", "refuse_while_importing"]

_importing: ContextVar[str | None] = ContextVar("flowyml_aws_importing", default=None)


@contextmanager
def importing(what: str) -> Iterator[None]:
    """Code in this block is imported for what it defines; `what` names it in the error."""
    token = _importing.set(what)
    try:
        yield
    finally:
        _importing.reset(token)


def refuse_while_importing() -> None:
    """Called before a run starts.

    Raises:
        PipelineFileError: The code is being imported, so the run would start a second time.
    """
    if (what := _importing.get()) is not None:
        raise PipelineFileError(
            what=f"{what} runs a pipeline while it is imported",
            why="it is imported for its steps, here and in every job: each would start a run",
            fix='put the call of run() or submit() below `if __name__ == "__main__":`',
        )
