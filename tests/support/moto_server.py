"""Moto's server in this process, like `ThreadedMotoServer`, with atomic conditional writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import make_server

from flowyml_aws.testing.server import Moto

__all__ = ["running_moto_server"]


@contextmanager
def running_moto_server() -> Iterator[str]:
    """Run a server on a free port and yield its endpoint."""
    server = make_server(
        "127.0.0.1",
        0,
        _AtomicConditions(Moto()),
        threaded=True,
        request_handler=MotoRequestHandler,
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _AtomicConditions:
    """Makes `If-None-Match` atomic, as in S3; moto checks first and writes later."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if "HTTP_IF_NONE_MATCH" not in environ:
            return self._app(environ, start_response)
        with self._lock:
            return list(self._app(environ, start_response))
