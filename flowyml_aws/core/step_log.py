"""Values that the function of a step logs: metrics, images, tables and text.

The runner of a job sets the recorder while a step runs. Without one (in a plain call, in a
notebook, in a process that the step starts), values are checked and then discarded.
"""

from __future__ import annotations

import contextlib
import numbers
import operator
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from flowyml_aws.core.errors import UnloggableValueError

if TYPE_CHECKING:
    from flowyml_aws.core.logged_images import Picture
    from flowyml_aws.core.logged_tables import TableHead

__all__ = [
    "MAX_TEXT_BYTES",
    "Recorder",
    "log_image",
    "log_metric",
    "log_table",
    "log_text",
    "recording",
]

MAX_TEXT_BYTES = 16 * 1024
"""Number of bytes of a string that are kept."""

_NAME = re.compile(r"[\w.\-:/][\w.\-:/ ]{0,127}")  # the names that MLflow accepts, too


class Recorder(Protocol):
    """Keeps the logged values of the step that runs. Threads of the step may call it."""

    def metric(self, name: str, value: float, step: int | None) -> None: ...

    def image(self, name: str, image: Picture) -> None: ...

    def table(self, name: str, table: TableHead) -> None: ...

    def text(self, name: str, text: str, is_cut: bool) -> None: ...


# Not a context variable: threads of a step do not inherit those. A job runs one step at a time.
_active: tuple[Recorder, int] | None = None


@contextlib.contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Record what this process logs; not what processes log that it starts or forks."""
    global _active
    before, _active = _active, (recorder, os.getpid())
    try:
        yield
    finally:
        _active = before


def log_metric(name: str, value: Any, step: int | None = None) -> None:
    """Log a value of a metric, in the function of a step or in threads that it starts.

    Values that are not finite (NaN, infinity) are left out, with a line in the job's log. Outside
    of a step, the arguments are checked, and nothing is kept.

    Args:
        name: Name of the metric.
        value: A number, also a scalar of numpy or a tensor with one element.
        step: Position in the series, such as the epoch. By default, the number of earlier values of
            this metric.

    Raises:
        UnloggableValueError: The value is not a number, or the name or the position is invalid.
    """
    _check_name(name)
    number = _number(name, value)
    position = None if step is None else _position(name, step)
    if (recorder := _recorder("metric", name)) is not None:
        recorder.metric(name, number, position)


def log_image(name: str, image: Any) -> None:
    """Log an image, in the function of a step. A later image of the same name replaces it.

    Outside of a step, the image is checked, and nothing is kept.

    Args:
        name: Name of the image.
        image: PNG or JPEG as bytes with at most 32 KiB; or a matplotlib figure, a Pillow image or
            an array (height × width, or height × width × 1, 3 or 4), which are made smaller until
            they fit. Numbers in arrays of floats are from 0 to 1, and in others from 0 to 255.

    Raises:
        UnloggableValueError: It is not an image, or the bytes are too many.
    """
    from flowyml_aws.core.logged_images import picture_of

    _check_name(name)
    picture = picture_of(name, image)
    if (recorder := _recorder("image", name)) is not None:
        recorder.image(name, picture)


def log_table(name: str, table: Any) -> None:
    """Log the first 100 rows of a table, in the function of a step.

    A later table of the same name replaces it. Outside of a step, the table is checked, and nothing
    is kept.

    Args:
        name: Name of the table.
        table: A data frame of pandas or polars, an Arrow table, a list of dicts, a list of rows, or
            a dict of columns.

    Raises:
        UnloggableValueError: It is not a table.
    """
    from flowyml_aws.core.logged_tables import head_of

    _check_name(name)
    head = head_of(name, table)
    if (recorder := _recorder("table", name)) is not None:
        recorder.table(name, head)


def log_text(name: str, text: str) -> None:
    """Log the first 16 KiB of a string, in the function of a step.

    A later string of the same name replaces it. Outside of a step, nothing is kept.

    Raises:
        UnloggableValueError: It is not a string.
    """
    _check_name(name)
    if not isinstance(text, str):
        raise UnloggableValueError(
            what=f"Text {name!r} must be a string, got {type(text).__name__}",
            why="it is shown as it is",
            fix="convert it, for example with str(…) or json.dumps(…)",
        )
    encoded = text.encode("utf-8", "replace")
    kept = encoded[:MAX_TEXT_BYTES].decode("utf-8", "ignore")
    if (recorder := _recorder("text", name)) is not None:
        recorder.text(name, kept, len(encoded) > MAX_TEXT_BYTES)


def _recorder(kind: str, name: str) -> Recorder | None:
    if _active is not None and _active[1] == os.getpid():
        return _active[0]
    import logging

    logger = logging.getLogger("flowyml_aws")
    logger.debug("%s %r is not kept: no step of a run calls it in this process", kind, name)
    return None


def _check_name(name: object) -> None:
    if isinstance(name, str) and _NAME.fullmatch(name):
        return
    shown = repr(name) if len(repr(name)) <= 200 else f"{repr(name)[:200]}…"
    raise UnloggableValueError(
        what=f"Invalid name of a logged value: {shown}",
        why="a name is a string of 1 to 128 letters, digits, spaces and . _ - / :",
        fix="choose another name, such as 'val/loss'",
    )


def _number(name: str, value: Any) -> float:
    scalar = value
    if not isinstance(value, numbers.Number) and callable(item := getattr(value, "item", None)):
        with contextlib.suppress(ValueError, TypeError, RuntimeError):  # it has several elements
            scalar = item()
    if isinstance(scalar, numbers.Number) and not isinstance(scalar, (bool, complex)):
        try:
            return float(scalar)  # type: ignore[arg-type]
        except OverflowError:
            return float("inf")
        except TypeError:
            pass
    is_flag = isinstance(scalar, bool)
    raise UnloggableValueError(
        what=f"Value of metric {name!r} must be a number, got {type(value).__name__}",
        why="metrics are drawn and compared as numbers",
        fix="pass int(…) of it" if is_flag else "pass a number, or use log_text for a string",
    )


def _position(name: str, step: Any) -> int:
    try:
        if isinstance(step, bool):
            raise TypeError
        position = operator.index(step)
        if not -(2**63) <= position < 2**63:
            raise TypeError
    except TypeError:
        raise UnloggableValueError(
            what=f"Step {step!r} of metric {name!r} must be an integer",
            why="it is the position in the series, such as the number of the epoch",
            fix="pass an int, or leave it out",
        ) from None
    return position
