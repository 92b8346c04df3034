"""Reports of unexpected errors: the traceback in a file, and a message that names it."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

from flowyml_aws import __version__
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.folders import state_folder

__all__ = ["UnexpectedError", "unexpected"]


class UnexpectedError(FlowymlError):
    """A bug in this package, or an error of the operating system that it does not expect."""

    exit_code = 70  # EX_SOFTWARE of sysexits.h


def unexpected(error: BaseException, command: str) -> UnexpectedError:
    """Return the error to print for an exception that is not expected.

    Args:
        error: The exception.
        command: Name of the command. Its other arguments may contain secrets.
    """
    where = _write_report(error, command)
    why = "this is a bug in flowyml-aws"
    if isinstance(error, OSError):
        why = "the operating system refused an operation, which flowyml-aws does not expect"
    return UnexpectedError(
        what=f"Unexpected error: {type(error).__name__}: {error}",
        why=f"{why}; its traceback is in {where}",
        fix="report it with this file to the maintainers of flowyml-aws; `flowyml-aws runs` lists "
        "the runs that were started",
    )


def _write_report(error: BaseException, command: str) -> str:
    text = "".join(traceback.format_exception(error))
    report = (
        f"flowyml-aws {__version__}, command {command}\n"
        f"Python {sys.version.split()[0]} on {sys.platform} {os.uname().release}\n\n{text}"
    )
    name = time.strftime("bug-%Y%m%d-%H%M%S-")
    for find in (lambda: state_folder(os.environ), tempfile.gettempdir):
        try:
            folder = Path(find())
            folder.mkdir(parents=True, exist_ok=True)
            descriptor, path = tempfile.mkstemp(".txt", name, folder)  # readable by its owner only
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(report)
        except (OSError, RuntimeError):  # RuntimeError: the user has no home folder
            continue
        return path
    print(text, file=sys.stderr)
    return "the lines above"
