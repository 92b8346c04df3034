"""Causes of failures, with what is done about each. `docs/reliability.md` shows the same table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

__all__ = ["REACTIONS", "Cause", "Reaction"]


class Cause(str, Enum):
    """Cause of a failure of a step or a job."""

    STEP = "step"
    """The step raised an exception, for a reason of its own."""
    TIME_LIMIT = "time limit"
    OUT_OF_MEMORY = "out of memory"
    GPU_OUT_OF_MEMORY = "GPU out of memory"
    DISK_FULL = "disk full"
    DAMAGED = "damaged data"
    """A stored value is missing, or differs from its digest."""
    SETUP = "setup"
    """The job cannot do its work on this account or image: denied calls, code that does not load,
    another Python, packages that cannot be installed."""


class Reaction(NamedTuple):
    """What is done about a failure.

    Attributes:
        fault: Who or what caused it.
        action: What happens without the user.
        cost: What the reaction costs.
        fix: What the user can do.
    """

    fault: str
    action: str
    cost: str
    fix: str


REACTIONS: Mapping[Cause, Reaction] = {
    Cause.STEP: Reaction(
        "the step's code",
        "the step is repeated `retry` times in the same job, then the job fails",
        "the time of each repetition",
        "correct the step, and run again: finished steps are reused",
    ),
    Cause.TIME_LIMIT: Reaction(
        "the step's code or its `timeout`",
        "as an exception of the step",
        "the time of each repetition",
        "increase `timeout`, or give the step a faster machine",
    ),
    Cause.OUT_OF_MEMORY: Reaction(
        "the step's resources",
        "the job fails, and the error names the limit",
        "nothing more",
        "request more `memory`",
    ),
    Cause.GPU_OUT_OF_MEMORY: Reaction(
        "the step's resources or its batch size",
        "the job fails",
        "nothing more",
        "request a GPU with more memory, or use less",
    ),
    Cause.DISK_FULL: Reaction(
        "the step's resources",
        "the job fails, and the error names the disk",
        "nothing more",
        "request more `storage`",
    ),
    Cause.DAMAGED: Reaction(
        "whatever changed or deleted the object",
        "the job fails before it uses the value; a damaged cache entry is a miss",
        "nothing more",
        "delete the object that the error names, and run again",
    ),
    Cause.SETUP: Reaction(
        "the account, the image or the project",
        "the job fails",
        "the start of the machine",
        "change what the error names",
    ),
}
