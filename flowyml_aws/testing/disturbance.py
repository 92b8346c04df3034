"""Faults of the network and of the services, for single calls."""

from __future__ import annotations

import io
import socket
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

from flowyml_aws.testing.calls import ApiCall, api_call, headers_of, read_body, signing_key
from flowyml_aws.testing.iam.refusals import error_response, protocol_of

__all__ = ["CallFault", "Disturbance", "FaultOfCall"]

# Closing a socket with this option sends RST instead of the data that is left.
_RESET = struct.pack("ii", 1, 0)


class CallFault(Enum):
    """A fault of a call, instead of its answer."""

    UNAVAILABLE = "503"
    """The service answers 503, and does nothing."""
    INTERNAL_ERROR = "500"
    """The service answers 500, and does nothing."""
    THROTTLED = "429"
    """The service refuses the call because there are too many."""
    RESET = "reset"
    """The connection is reset before the service gets the call."""
    LOST = "lost"
    """The service does what it is asked, and the connection is reset before it answers."""
    EXPIRED = "expired"
    """The service refuses the call because the credentials have expired."""
    CUT = "cut"
    """The service does what it is asked, and the connection is reset in the body of its answer."""


FaultOfCall = Callable[[ApiCall, str], CallFault | None]
"""Returns the fault of a call, given its caller's access key; None for a normal answer."""

_ERRORS = {
    CallFault.UNAVAILABLE: ("ServiceUnavailable", "503 Service Unavailable"),
    CallFault.INTERNAL_ERROR: ("InternalError", "500 Internal Server Error"),
    CallFault.THROTTLED: ("ThrottlingException", "429 Too Many Requests"),
}
# Sources: "Error responses" in the API reference of Amazon S3, "Error codes" in that of Amazon EC2,
# and "Common errors" in those of the other services.
_EXPIRED = {
    "s3": ("ExpiredToken", "400 Bad Request"),
    "ec2": ("RequestExpired", "400 Bad Request"),
    "query": ("ExpiredToken", "403 Forbidden"),
    "json": ("ExpiredTokenException", "403 Forbidden"),
}


class Disturbance:
    """WSGI middleware that breaks some calls.

    Attributes:
        fault_of: Function that decides about each call; None to break none.
        next_faults: Faults of the next calls, by operation.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self.fault_of: FaultOfCall | None = None
        self.next_faults: defaultdict[str, list[CallFault]] = defaultdict(list)
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if self.fault_of is None and not any(self.next_faults.values()):
            return self._application(environ, start_response)
        body = read_body(environ)
        environ["wsgi.input"] = io.BytesIO(body)
        call = api_call(environ, body)
        fault = self._fault(call, signing_key(environ)[0])
        if fault is None:
            return self._application(environ, start_response)
        if fault in _ERRORS or fault is CallFault.EXPIRED:
            return _refuse(fault, call, environ, start_response)
        if fault is CallFault.RESET:
            raise _reset(environ)
        answer = self._application(environ, start_response)
        if fault is CallFault.LOST:
            raise _reset(environ)
        return _cut(answer, environ)

    def _fault(self, call: ApiCall, access_key: str) -> CallFault | None:
        if faults := self.next_faults.get(call.operation):
            return faults.pop(0)
        return None if self.fault_of is None else self.fault_of(call, access_key)


def _refuse(
    fault: CallFault, call: ApiCall, environ: dict[str, Any], start_response: Any
) -> Iterable[bytes]:
    protocol = protocol_of(call.service, headers_of(environ).get("content-type", ""))
    code, status = _EXPIRED[protocol] if fault is CallFault.EXPIRED else _ERRORS[fault]
    response = error_response(code, status, "injected fault", protocol, environ["REQUEST_METHOD"])
    headers = [
        ("Content-Type", response.content_type),
        ("Content-Length", str(len(response.body))),
    ]
    if response.error is not None:
        headers.append(("x-amzn-ErrorType", response.error))
    start_response(response.status, headers)
    return [response.body]


def _cut(answer: Iterable[bytes], environ: dict[str, Any]) -> Iterable[bytes]:
    data = b"".join(answer)
    yield data[: len(data) // 2]
    raise _reset(environ)


def _reset(environ: dict[str, Any]) -> ConnectionError:
    """Reset the connection of a request, and return the error that ends its handler."""
    connection = environ["werkzeug.socket"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    connection.shutdown(socket.SHUT_RD)
    connection.close()
    return ConnectionResetError("injected fault")
