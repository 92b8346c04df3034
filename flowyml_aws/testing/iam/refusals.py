"""Responses to requests that lack credentials or permissions, in each service's protocol."""

from __future__ import annotations

import json
import uuid
from typing import NamedTuple
from xml.sax.saxutils import escape

from flowyml_aws.testing.iam.guard import AccessError

__all__ = ["Response", "error_response", "protocol_of", "response_to"]


class Response(NamedTuple):
    """An HTTP response.

    Attributes:
        error: Error code for the header `x-amzn-ErrorType`; None if the protocol has none.
    """

    status: str
    content_type: str
    body: bytes
    error: str | None = None


# (kind of error, protocol) -> error code and HTTP status. Sources: "Error responses" in the API
# reference of Amazon S3, "Error codes" in that of Amazon EC2, and "Common errors" in those of the
# other services.
_CODES = {
    ("denied", "s3"): ("AccessDenied", "403 Forbidden"),
    ("missing", "s3"): ("AccessDenied", "403 Forbidden"),
    ("unknown", "s3"): ("InvalidAccessKeyId", "403 Forbidden"),
    ("wrong token", "s3"): ("InvalidToken", "400 Bad Request"),
    ("denied", "ec2"): ("UnauthorizedOperation", "403 Forbidden"),
    ("missing", "ec2"): ("AuthFailure", "401 Unauthorized"),
    ("unknown", "ec2"): ("AuthFailure", "401 Unauthorized"),
    ("wrong token", "ec2"): ("AuthFailure", "401 Unauthorized"),
    ("denied", "query"): ("AccessDenied", "403 Forbidden"),
    ("missing", "query"): ("MissingAuthenticationToken", "403 Forbidden"),
    ("unknown", "query"): ("InvalidClientTokenId", "403 Forbidden"),
    ("wrong token", "query"): ("InvalidClientTokenId", "403 Forbidden"),
    ("denied", "json"): ("AccessDeniedException", "400 Bad Request"),
    ("missing", "json"): ("MissingAuthenticationTokenException", "400 Bad Request"),
    ("unknown", "json"): ("UnrecognizedClientException", "400 Bad Request"),
    ("wrong token", "json"): ("UnrecognizedClientException", "400 Bad Request"),
}


def response_to(error: AccessError, service: str, method: str, content_type: str) -> Response:
    """Return the response to a refused request.

    Args:
        error: The reason.
        service: Service of the request.
        method: HTTP method of the request.
        content_type: Content type of the request.
    """
    protocol = protocol_of(service, content_type)
    code, status = _CODES[error.kind, protocol]
    if service == "batch":
        status = "403 Forbidden"
    return error_response(code, status, error.message, protocol, method)


def error_response(code: str, status: str, message: str, protocol: str, method: str) -> Response:
    """Return an error in the format of a protocol.

    Args:
        code: Error code.
        status: HTTP status.
        message: Message, unescaped.
        protocol: Protocol, from `protocol_of`.
        method: HTTP method of the request.
    """
    if protocol == "json":
        body = json.dumps({"__type": code, "message": message})
        return Response(status, "application/json", body.encode(), code)
    request_id = uuid.uuid4()
    detail = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    if protocol == "s3":
        body = f"<Error>{detail}<RequestId>{request_id}</RequestId></Error>"
        # A response to HEAD has no body, so boto3 sees only the status.
        return Response(status, "application/xml", b"" if method == "HEAD" else body.encode())
    if protocol == "ec2":
        body = (
            f"<Response><Errors><Error>{detail}</Error></Errors>"
            f"<RequestID>{request_id}</RequestID></Response>"
        )
    else:
        body = (
            f"<ErrorResponse><Error><Type>Sender</Type>{detail}</Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
    return Response(status, "text/xml", body.encode())


def protocol_of(service: str, content_type: str) -> str:
    """Return the protocol of a service's requests: s3, ec2, query or json."""
    if service in ("s3", "ec2"):
        return service
    return "query" if content_type.startswith("application/x-www-form-urlencoded") else "json"
