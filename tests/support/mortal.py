"""A client that dies at one of its calls to AWS, as a killed process does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import pytest
from botocore.httpsession import URLLib3Session

__all__ = ["Death", "Life", "lived"]


class Death(BaseException):
    """The client is gone: nothing that it would still do happens."""


class Life(NamedTuple):
    """How long a client lives.

    Attributes:
        calls: To AWS; the next one is its end.
        is_heard: Whether AWS gets that last call, and only the answer is lost.
    """

    calls: int
    is_heard: bool


@contextmanager
def lived(life: Life) -> Iterator[None]:
    """Let this process be a client with such a life; goes on behind it if it died."""
    send, lock, left = URLLib3Session.send, threading.Lock(), [life.calls]

    def send_while_alive(self: Any, request: Any) -> Any:
        with lock:
            left[0] -= 1
            calls_left = left[0]
        if calls_left == -1 and life.is_heard:
            send(self, request)
        if calls_left < 0:
            raise Death
        return send(self, request)

    with pytest.MonkeyPatch.context() as patch, suppress(Death):
        patch.setattr(URLLib3Session, "send", send_while_alive)
        yield
