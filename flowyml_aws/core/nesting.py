"""Pipelines whose jobs this process is a part of, so that none starts itself without end."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from flowyml_aws.core.errors import InvalidPipelineError, InvalidStepError

__all__ = ["enter_pipeline", "refuse_own_pipeline"]

_VARIABLE = "FLOWYML_PIPELINES"


def enter_pipeline(name: str) -> None:
    """Record, for this process and those that it starts, that it is a job of a pipeline."""
    os.environ[_VARIABLE] = json.dumps([*_outer(), name])


def refuse_own_pipeline(name: str) -> None:
    """Refuse a run of a pipeline in one of its own jobs.

    Raises:
        InvalidPipelineError: This process is part of a job of a pipeline with this name.
    """
    if name in _outer():
        problem = InvalidStepError(
            what=f"A step of pipeline {name!r} runs pipeline {name!r}",
            why="each of its jobs would start another run, without end",
            fix="call run() outside the steps; a different pipeline needs a name of its own",
        )
        raise InvalidPipelineError(name, [problem])


def _outer() -> Sequence[str]:
    try:
        names = json.loads(os.environ.get(_VARIABLE, "[]"))
    except ValueError:
        return ()
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else ()
