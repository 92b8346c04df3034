"""A client that dies at one of its calls to AWS, like a killed process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import pytest
from botocore.httpsession import URLLib3Session

__all__ = ["ClientDeath", "Lifetime", "limited_lifetime"]


class ClientDeath(BaseException):
    """The client has died, so its remaining actions do not happen."""


class Lifetime(NamedTuple):
    """The lifetime of a client.

    Attributes:
        calls: Number of calls to AWS that succeed; the client dies at the next one.
        last_call_arrives: Whether AWS receives the last call, and only the answer is lost.
        only_submissions: Whether only calls that submit a job are counted.
    """

    calls: int
    last_call_arrives: bool
    only_submissions: bool = False


@contextmanager
def limited_lifetime(lifetime: Lifetime) -> Iterator[None]:
    """Let the client in this process die in the block, which then ends without an error."""
    send, lock, remaining = URLLib3Session.send, threading.Lock(), [lifetime.calls]

    def send_while_alive(self: Any, request: Any) -> Any:
        with lock:
            # A dead client makes no more calls of any kind.
            remaining[0] -= remaining[0] < 0 or not lifetime.only_submissions or _submits(request)
            calls_left = remaining[0]
        if calls_left == -1 and lifetime.last_call_arrives:
            send(self, request)
        if calls_left < 0:
            raise ClientDeath
        return send(self, request)

    with pytest.MonkeyPatch.context() as patch, suppress(ClientDeath):
        patch.setattr(URLLib3Session, "send", send_while_alive)
        yield


def _submits(request: Any) -> bool:
    target = request.headers.get("X-Amz-Target", b"")
    return str(request.url).endswith("/submitjob") or b"CreateTrainingJob" in _bytes(target)


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
