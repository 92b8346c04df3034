"""Exceptions as text: the user's frames, their paths, bounded in length."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import cloudpickle

from flowyml_aws.core.errors import FlowymlError, PipelineFileError
from flowyml_aws.runtime.result import StepFailure

__all__ = ["describe_job_failure", "describe_step_failure", "text_of"]

# Characters; a result stays a small document, a message fits on a screen.
_LONGEST_TRACEBACK = 100_000
_LONGEST_MESSAGE = 2_000


_OURS = f"{Path(__file__).parents[1]}/"
# What stands between the runner and a module that the steps import.
_IMPORT_SYSTEM = (f"{Path(importlib.__file__).parent}/", "<frozen importlib")
_MACHINERY = (_OURS, f"{Path(cloudpickle.__file__).parent}/", *_IMPORT_SYSTEM)


def describe_step_failure(error: BaseException, roots: Sequence[Path]) -> StepFailure:
    """What a step's exception says, without the runner's own frames.

    Args:
        error: As caught.
        roots: Where the project lies, in the job and on the client: file names below are told
            relative to it.
    """
    frames = _from_the_user_on(error.__traceback__)
    told = traceback.TracebackException(type(error), error, frames, compact=True)
    if frames is None:  # our own error about what the step returned
        lines = told.format_exception_only()
    else:
        while len(told.stack) > 1 and told.stack[-1].filename.startswith(_OURS):
            told.stack.pop()  # the handler that stops a step, say
        for part in _parts(told):
            _make_relative(part, roots)
        lines = told.format()
    return StepFailure(
        kind=type(error).__name__,
        message=text_of(error),
        traceback=_bounded("".join(lines), _LONGEST_TRACEBACK),
    )


def describe_job_failure(error: Exception, roots: Sequence[Path]) -> StepFailure:
    """Why a job failed where no step is to blame; arguments as `describe_step_failure`."""
    if isinstance(error, FlowymlError):
        text = f"{error}\n"
        if isinstance(error, PipelineFileError) and error.__cause__ is not None:
            # The user's own module raised it, at a line of theirs.
            text = f"{describe_step_failure(error.__cause__, roots).traceback}\n{text}"
    else:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return StepFailure(
        kind=type(error).__name__,
        message=text_of(error),
        traceback=_bounded(text, _LONGEST_TRACEBACK),
    )


def text_of(error: BaseException) -> str:
    """An exception's message, also of one that cannot say it."""
    if isinstance(error, FlowymlError):
        return _bounded(error.what, _LONGEST_MESSAGE)
    try:
        return _bounded(str(error), _LONGEST_MESSAGE)
    except Exception:  # its `__str__` is the user's code
        return f"<unprintable {type(error).__name__}>"


def _from_the_user_on(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_MACHINERY):
        frames = frames.tb_next
    return frames


def _parts(told: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """An exception, those behind it, and those of a group."""
    seen = set()
    waiting = [told]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        behind = (part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ()))
        waiting += [other for other in behind if other is not None]


def _make_relative(told: traceback.TracebackException, roots: Sequence[Path]) -> None:
    for frame in told.stack:  # its line was read before, under the whole name
        frame.filename = _relative(frame.filename, roots)
    if (file := getattr(told, "filename", None)) is not None:  # of a SyntaxError
        told.filename = _relative(file, roots)


def _relative(file: str, roots: Sequence[Path]) -> str:
    for root in roots:
        if (path := Path(file)).is_relative_to(root):
            return str(path.relative_to(root))
    return file


def _bounded(text: str, longest: int) -> str:
    if len(text) > longest:
        half = longest // 2
        left_out = f"\n… {len(text) - longest} characters left out …\n"
        text = text[:half] + left_out + text[-half:]
    # File names can hold what JSON cannot.
    return text.encode(errors="backslashreplace").decode()
