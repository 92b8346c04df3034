"""Instance types that a region offers: moto's responses, each made once in a process.

moto takes ten times as long as for other responses, and each plan for Batch requests one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.wrappers import Response

__all__ = ["offerings"]

_Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

# No account changes what a region offers, so emulators share the responses.
_responses: dict[tuple[str, bytes], Response] = {}


def offerings(
    moto: _Application, environ: dict[str, Any], start_response: Any, region: str, body: bytes
) -> Iterable[bytes]:
    """Respond to DescribeInstanceTypeOfferings.

    Args:
        moto: WSGI application that responds to a new request.
        environ: WSGI environment of the request.
        start_response: WSGI callable.
        region: Region of the request.
        body: Content of the request.
    """
    response = _responses.get((region, body))
    if response is None:
        response = Response.from_app(moto, environ, buffered=True)
        if response.status_code == 200:
            _responses[region, body] = response
    return response(environ, start_response)
