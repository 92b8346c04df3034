"""Exceptions as strings: frames of the user's code, relative paths, limited length."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import cloudpickle

from flowyml_aws.core.errors import (
    ArtifactNotFoundError,
    DamagedArtifactError,
    FlowymlError,
    PipelineFileError,
    UnloadableValueError,
)
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.full_disk import full_disk_advice
from flowyml_aws.runtime.log import masked
from flowyml_aws.runtime.missing_modules import module_advice
from flowyml_aws.runtime.out_of_memory import memory_advice, oom_kills, out_of_memory
from flowyml_aws.runtime.result import StepFailure
from flowyml_aws.runtime.time_limit import StepTimeout

__all__ = ["NodeFailure", "describe_job_failure", "describe_step_failure", "kind_of", "text_of"]

# In characters: a result stays a small document, and a message fits on a screen.
_LONGEST_TRACEBACK = 100_000
_LONGEST_MESSAGE = 2_000

_PACKAGE = f"{Path(__file__).parents[1]}/"
# Frames between the runner and a module that the steps import.
_IMPORT_SYSTEM = (f"{Path(importlib.__file__).parent}/", "<frozen importlib")
_EVENT_LOOP = f"{Path(importlib.__file__).parents[1] / 'asyncio'}/"
_MACHINERY = (_PACKAGE, f"{Path(cloudpickle.__file__).parent}/", _EVENT_LOOP, *_IMPORT_SYSTEM)


class NodeFailure(BaseException):
    """The function of a step has failed in another process, which has described the failure.

    Not an `Exception`, so that steps do not swallow it.

    Attributes:
        failure: The failure.
        at: Time of the failure, in seconds since the epoch.
    """

    def __init__(self, failure: StepFailure, at: float) -> None:
        super().__init__(failure.message)
        self.failure, self.at = failure, at


def describe_step_failure(
    error: BaseException,
    roots: Sequence[Path],
    advice: str = "",
    kills_before: int | None = None,
) -> StepFailure:
    """Describe a step's exception, without the runner's own frames.

    Args:
        error: The exception, as caught.
        roots: The project's folders, in the job and on the client. File names below them become
            relative.
        advice: Reason and fix, added to the traceback.
        kills_before: `oom_kills` when the step began, or None.
    """
    if isinstance(error, NodeFailure):
        return error.failure
    frames = _from_first_user_frame(error.__traceback__)
    report = traceback.TracebackException(type(error), error, frames, compact=True)
    if frames is None:  # raised by the runner: the step returned an unsuitable value
        lines = report.format_exception_only()
    else:
        while len(report.stack) > 1 and report.stack[-1].filename.startswith(_PACKAGE):
            report.stack.pop()  # for example the signal handler that stops a step
        for part in _parts(report):
            _make_relative(part, roots)
        lines = report.format()
    cause, advice_of_cause = _diagnose(error, kills_before)
    if cause is None:
        cause = Cause.TIME_LIMIT if isinstance(error, StepTimeout) else Cause.STEP
    advice = advice or advice_of_cause
    if not advice and isinstance(error, ModuleNotFoundError):
        advice = module_advice(error)
    return StepFailure(
        kind=type(error).__name__,
        message=text_of(error),
        traceback=_storable("".join(lines), _LONGEST_TRACEBACK) + (advice and f"  fix: {advice}\n"),
        cause=cause,
    )


def describe_job_failure(error: Exception, roots: Sequence[Path]) -> StepFailure:
    """Describe a failure that no step caused. Same arguments as `describe_step_failure`."""
    if isinstance(error, FlowymlError):
        text = f"{error}\n"
        has_cause = isinstance(error, PipelineFileError | UnloadableValueError)
        if has_cause and error.__cause__ is not None:
            # Code of the user raised it: show its line.
            text = f"{describe_step_failure(error.__cause__, roots).traceback}\n{text}"
    else:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    cause, advice = _diagnose(error, None)
    if cause is None:
        is_damaged = isinstance(error, ArtifactNotFoundError | DamagedArtifactError)
        cause = Cause.DAMAGED if is_damaged else Cause.SETUP
    if advice and not isinstance(error, FlowymlError):  # it has a fix of its own
        text += f"  fix: {advice}\n"
    return StepFailure(
        kind=type(error).__name__,
        message=text_of(error),
        traceback=_storable(text, _LONGEST_TRACEBACK),
        cause=cause,
    )


def _diagnose(error: BaseException, kills_before: int | None) -> tuple[Cause | None, str]:
    """Return the resource that is used up, with advice; None and "" if none is known to be."""
    if advice := full_disk_advice(error):
        return Cause.DISK_FULL, advice
    if cause := out_of_memory(error, kills_before, oom_kills()):
        return cause, memory_advice(cause)
    return None, ""


def kind_of(error: BaseException) -> str:
    """Return the name of an exception's class, where it was raised."""
    return error.failure.kind if isinstance(error, NodeFailure) else type(error).__name__


def text_of(error: BaseException) -> str:
    """Return an exception's message, even if its `__str__` raises."""
    if isinstance(error, FlowymlError):
        return _storable(error.what, _LONGEST_MESSAGE)
    try:
        return _storable(str(error), _LONGEST_MESSAGE)
    except Exception:  # its `__str__` is the user's code
        return f"<unprintable {type(error).__name__}>"


def _from_first_user_frame(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_MACHINERY):
        frames = frames.tb_next
    return frames


def _parts(report: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """Yield an exception, its causes and contexts, and the members of exception groups."""
    seen = set()
    waiting = [report]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        linked = (part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ()))
        waiting += [other for other in linked if other is not None]


def _make_relative(report: traceback.TracebackException, roots: Sequence[Path]) -> None:
    for frame in report.stack:  # its source line was already read, by the absolute path
        frame.filename = _relative(frame.filename, roots)
    if (file := getattr(report, "filename", None)) is not None:  # of a SyntaxError
        report.filename = _relative(file, roots)


def _relative(file: str, roots: Sequence[Path]) -> str:
    for root in roots:
        if (path := Path(file)).is_relative_to(root):
            return str(path.relative_to(root))
    return file


def _storable(text: str, longest: int) -> str:
    text = masked(text)
    if len(text) > longest:
        half = longest // 2
        left_out = f"\n… {len(text) - longest} characters left out …\n"
        text = text[:half] + left_out + text[-half:]
    # File names can contain surrogates, which UTF-8 can't encode.
    return text.encode(errors="backslashreplace").decode()
