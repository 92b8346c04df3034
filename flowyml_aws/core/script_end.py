"""The end of a script that is executed for its definitions, which the script can't catch.

Its `finally:` and `with` blocks are completed, and so are its handlers of `BaseException`. What
follows such a handler is not executed.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from opcode import opmap
from types import FrameType
from typing import Any, NoReturn

from flowyml_aws.core.modules import SCRIPTS, is_users_module

__all__ = ["ScriptEnd", "end_script", "script_that_may_end"]

_before = threading.local()
_STARTS_HANDLER = opmap.get("PUSH_EXC_INFO")  # since Python 3.11
_EXECUTES_SCRIPTS = SCRIPTS.rstrip(".")  # name of the module


class ScriptEnd(BaseException):  # not an Exception, so that the script's handlers let it pass
    """Ends a script that is executed for its definitions, at the first run that it reaches."""


@contextmanager
def script_that_may_end() -> Iterator[None]:
    """Execute a script until it completes or ends, whatever it makes of its end."""
    try:
        yield
    except BaseException as error:  # `except: sys.exit(1)`, for example
        if not _is_from_end(error):
            raise
    finally:
        _stop_watching()


def end_script() -> NoReturn:
    """End the script that the caller is a part of.

    Raises:
        ScriptEnd: Always.
    """
    if sys.getprofile() is not _watch_calls:
        _before.hooks = sys.gettrace(), sys.getprofile()
    _watch(sys._getframe())
    sys.setprofile(_watch_calls)
    raise ScriptEnd


def _watch(frame: FrameType | None) -> None:
    """Watch the lines of the script's functions that are being executed."""
    for user in filter(_is_users, _frames(frame)):
        user.f_trace = _end_again
    sys.settrace(_watch_nothing)


def _is_users(frame: FrameType) -> bool:
    return is_users_module(frame.f_globals.get("__name__"))


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield the frames up to the execution of the script."""
    while frame is not None and frame.f_globals.get("__name__") != _EXECUTES_SCRIPTS:
        yield frame
        frame = frame.f_back


def _stop_watching() -> None:
    hooks = getattr(_before, "hooks", None)
    if hooks is not None:
        del _before.hooks
        sys.settrace(hooks[0])
        sys.setprofile(hooks[1])


def _end_again(frame: FrameType, event: str, argument: Any) -> Any:
    """Raise the end again in code that has caught it and continues."""
    if event == "line" and not (_starts_handler(frame) or _is_from_end(sys.exc_info()[1])):
        raise ScriptEnd
    return _end_again


def _watch_nothing(frame: FrameType, event: str, argument: Any) -> None:
    """Do not trace functions that are called later."""


def _watch_calls(frame: FrameType, event: str, argument: Any) -> None:
    if not any(map(_is_users, _frames(frame))):
        _stop_watching()  # a thread of a pool, which may live on
    elif sys.gettrace() is None:
        # Python stops tracing if a trace function raises. The script may catch this error, too.
        _watch(frame)


def _starts_handler(frame: FrameType) -> bool:
    """Return whether a handler starts, whose error `sys.exc_info` does not return yet."""
    return frame.f_code.co_code[frame.f_lasti] == _STARTS_HANDLER


def _is_from_end(error: BaseException | None) -> bool:
    """Return whether an error is the end of a script, or was raised while it was handled."""
    while error is not None and not isinstance(error, ScriptEnd):
        error = error.__context__
    return error is not None
