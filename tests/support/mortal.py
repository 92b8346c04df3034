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
        is_of_jobs: Whether only calls count that submit a job.
    """

    calls: int
    is_heard: bool
    is_of_jobs: bool = False


@contextmanager
def lived(life: Life) -> Iterator[None]:
    """Let this process be a client with such a life; goes on behind it if it died."""
    send, lock, left = URLLib3Session.send, threading.Lock(), [life.calls]

    def send_while_alive(self: Any, request: Any) -> Any:
        with lock:
            # Who is dead does nothing more, whatever counted before.
            left[0] -= left[0] < 0 or not life.is_of_jobs or _submits(request)
            calls_left = left[0]
        if calls_left == -1 and life.is_heard:
            send(self, request)
        if calls_left < 0:
            raise Death
        return send(self, request)

    with pytest.MonkeyPatch.context() as patch, suppress(Death):
        patch.setattr(URLLib3Session, "send", send_while_alive)
        yield


def _submits(request: Any) -> bool:
    target = request.headers.get("X-Amz-Target", b"")
    return str(request.url).endswith("/submitjob") or b"CreateTrainingJob" in _bytes(target)


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
