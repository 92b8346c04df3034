"""A user's exception as text: their frames, their paths."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType

from flowyml_aws.runtime.result import StepFailure

__all__ = ["describe_failure"]

_OURS = str(Path(__file__).resolve().parent.parent)
_LONGEST = 100_000  # characters; a result stays a small document


def describe_failure(error: BaseException, folder: Path | None) -> StepFailure:
    """What a step's exception says, without the runner's own frames.

    Args:
        error: As caught.
        folder: The unpacked bundle: file names below it are told relative to the project.
    """
    told = traceback.TracebackException(
        type(error), error, _first_frame_of_user(error.__traceback__), compact=True
    )
    text = "".join(told.format())
    if folder is not None:
        text = text.replace(f"{folder}/", "")
    return StepFailure(
        kind=type(error).__name__,
        message=_shortened(str(error)),
        traceback=_shortened(text),
    )


def _first_frame_of_user(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OURS):
        frames = frames.tb_next
    return frames


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]}\n… {len(text) - _LONGEST} characters left out …\n{text[-half:]}"
