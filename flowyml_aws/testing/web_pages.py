"""Protection against web pages: a browser on this machine can reach every local port.

A page can send "simple" requests to any address, and all others after a preflight (CORS). It can
also rebind its own name to 127.0.0.1, so that the browser takes the answers for the page's own.
Browsers name the page in the header `Origin`, except for GET and HEAD, and the page's name is in
`Host`.

Source: Fetch Standard, "HTTP extensions" (https://fetch.spec.whatwg.org/#http-extensions).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["HOSTS", "foreign_request", "without_cors"]

HOSTS = ("127.0.0.1", "localhost")
"""Names of this machine that requests may be addressed to, with any port: the emulator gives its
clients and jobs the first one. Jobs in containers have this machine's network."""

_MOTO_API = "/moto-api"
_CORS = "access-control-"


def foreign_request(environ: Mapping[str, Any], has_moto_api: bool) -> str | None:
    """Return the reason why a WSGI request must not be answered, or None.

    Args:
        environ: Request.
        has_moto_api: Whether moto's own API, which needs no credentials, is switched on.
    """
    if "HTTP_ORIGIN" in environ:
        return "The emulator does not answer web pages: the request has the header Origin"
    host = environ.get("HTTP_HOST", "")
    name = host.rpartition(":")[0] if ":" in host else host
    if name.lower() not in HOSTS:
        return f"The emulator answers requests to {' and '.join(HOSTS)}, not to {host!r}"
    if environ["PATH_INFO"].startswith(_MOTO_API) and not has_moto_api:
        return "moto's API is switched off: start the emulator with moto_api=True (--moto-api)"
    return None


def without_cors(start_response: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that starts a response without the headers for other origins."""

    def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        kept = [(name, value) for name, value in headers if not name.lower().startswith(_CORS)]
        return start_response(status, kept, *rest)

    return start
