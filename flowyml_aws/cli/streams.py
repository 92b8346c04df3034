"""Standard streams on which output never fails with a traceback."""

from __future__ import annotations

import codecs
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, cast

from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.visible import visible

__all__ = ["OutputError", "checked_streams", "for_terminal"]

# This package's own characters, for terminals that can't show them.
_ASCII = {
    "…": "...",
    "→": "->",
    "─": "-",
    "│": "|",
    "├": "|",
    "└": "`",
    "×": "x",
    "–": "-",
    "≤": "<=",
    "≥": ">=",
    "✓": "+",
    "✗": "x",
    "·": "-",
}
_ERRORS = "flowyml-aws"


class OutputError(FlowymlError):
    """Standard output can't be written: a full disk, or a reader that has left.

    Attributes:
        has_reader: False if the reader of a pipe has closed it, such as `head`.
    """

    exit_code = 74  # EX_IOERR of sysexits.h

    def __init__(self, what: str, why: str, fix: str, has_reader: bool = True) -> None:
        super().__init__(what, why, fix)
        self.has_reader = has_reader


@contextmanager
def checked_streams() -> Iterator[None]:
    """Let the standard streams of this process raise no errors but `OutputError`.

    A character that a stream can't encode is replaced. A stream that was closed before the start
    discards what is written. Errors on standard error are ignored, because no message about them
    can arrive. Code that closes a stream closes it only for itself.
    """
    previous = sys.stdin, sys.stdout, sys.stderr
    with ExitStack() as opened:
        _open_missing(opened)
        sys.stdout = cast(TextIO, _Output(sys.stdout))
        sys.stderr = cast(TextIO, _Messages(sys.stderr))
        try:
            yield
        finally:
            sys.stdin, sys.stdout, sys.stderr = previous


def for_terminal(text: str) -> str:
    """Return text for standard output: with visible control characters on a terminal."""
    return visible(text) if sys.stdout.isatty() else text


def _open_missing(opened: ExitStack) -> None:
    """Open the null device in place of closed streams, before another file gets their number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            null = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115  closed by `opened`
            setattr(sys, name, opened.enter_context(null))


class _Output:
    """Standard output: a stream with the same attributes, and other errors."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        with suppress(AttributeError, OSError, ValueError):
            cast(Any, stream).reconfigure(errors=_ERRORS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:  # the latter if it was closed
            return self._fail(error)

    def writelines(self, lines: Iterator[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._fail(error)

    def close(self) -> None:
        self.flush()

    def _fail(self, error: OSError | ValueError) -> int:
        # What is buffered can't be written later, either: not when the interpreter exits.
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
        raise OutputError(
            what="Can't write to standard output",
            why=getattr(error, "strerror", None) or str(error),
            fix="free disk space, or redirect the output to another file",
            has_reader=getattr(error, "errno", None) != errno.EPIPE,
        ) from error


class _Messages(_Output):
    """Standard error."""

    def _fail(self, error: OSError | ValueError) -> int:
        return 0


def _readable(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    parts = [_ASCII.get(c) or c.encode("ascii", "backslashreplace").decode() for c in text]
    return "".join(parts), error.end


codecs.register_error(_ERRORS, _readable)
