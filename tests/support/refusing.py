"""Servers that reject calls, or answer them in other ways than AWS."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from threading import Thread
from typing import Literal, NamedTuple

__all__ = ["Answer", "Server", "answering", "refusing", "throttling"]


class Answer(NamedTuple):
    """The response to a call.

    Attributes:
        cut: End of the connection in the middle of the body, or None for the whole body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: Literal["closed", "reset"] | None = None


class Server(NamedTuple):
    """A server that is running.

    Attributes:
        calls: Method and path of each call so far.
    """

    endpoint: str
    calls: list[str]


@contextmanager
def answering(*answers: Answer) -> Iterator[Server]:
    """Run a server with these answers in order, of which the last is repeated."""
    calls: list[str] = []
    each = chain(answers, repeat(answers[-1]))
    with _serving(lambda: next(each), calls) as endpoint:
        yield Server(endpoint, calls)


@contextmanager
def refusing(status: int, code: str, message: str) -> Iterator[str]:
    """Run a server that responds to each call with an AWS error in XML; yield its endpoint."""
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    body = f"<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>".encode()
    answer = Answer(status, {"Content-Type": "text/xml"}, body)
    with _serving(lambda: answer) as endpoint:
        yield endpoint


@contextmanager
def throttling(calls: int, then: object) -> Iterator[str]:
    """Run a JSON server that throttles some calls, then responds; yield its endpoint."""
    too_many = {"x-amzn-ErrorType": "TooManyRequestsException"}
    answers = chain(
        repeat(Answer(429, too_many, b'{"message": "Too Many Requests"}'), calls),
        repeat(Answer(200, {}, json.dumps(then).encode())),
    )
    with _serving(lambda: next(answers)) as endpoint:
        yield endpoint


@contextmanager
def _serving(answer: Callable[[], Answer], calls: list[str] | None = None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if calls is not None:
                calls.append(f"{self.command} {self.path}")
            status, headers, body, cut = answer()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if cut else body)
            if cut == "reset":
                # The connection is reset instead of closed if it lingers for 0 s.
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                os.close(self.connection.detach())
            self.close_connection = cut is not None

        do_GET = do_PUT = do_HEAD = do_POST

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
