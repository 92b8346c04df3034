"""Answers to AWS calls that botocore can't read, as errors of botocore.

botocore assumes that an answer which arrives is an answer of AWS. A connection that breaks while
the body of an error is read raises an error of urllib3; the page of a network that asks to sign in,
with status 200, raises whatever the parser of its protocol makes of it, or is read as an empty
answer. `check_answers` translates all of these, so that `except (ClientError, BotoCoreError)`
catches every failure of a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from flowyml_aws.core import clock
from flowyml_aws.core.errors import FlowymlError

if TYPE_CHECKING:
    from botocore.session import Session

__all__ = [
    "CutAnswerError",
    "ForeignAnswerError",
    "UnreadableAnswerError",
    "UnusableConfigurationError",
    "check_answers",
]

_READS = ("BatchGet", "Describe", "Get", "Head", "List")
_ATTEMPTS = 3
_WAIT_S = 0.2
_MAX_CHARACTERS = 300  # an error of a parser contains the whole answer
# Every answer of AWS has one of them: the names in S3, in the JSON and in the query protocols.
_REQUEST_IDS = ("x-amz-request-id", "x-amzn-requestid", "x-amz-id-2")
_PAGES = (b"<!doctype html", b"<html")


class UnreadableAnswerError(HTTPClientError):
    """The answer to a call can't be read. AWS may have carried out the call."""

    fmt = "The answer to {operation} can't be read: {error}"


class CutAnswerError(HTTPClientError):
    """The connection was closed before the whole answer had arrived."""

    fmt = "The answer to {operation} was cut off after {received} of {expected} bytes"


class ForeignAnswerError(HTTPClientError):
    """A proxy or a network answered in the place of AWS."""

    fmt = (
        "{operation} was answered with a web page: not by AWS, but by a proxy, or by a network "
        "that asks to sign in"
    )


class UnusableConfigurationError(HTTPClientError):
    """No client can be created from the configuration of AWS, such as AWS_ENDPOINT_URL."""

    fmt = "The AWS configuration can't be used: {error}"


def check_answers(session: Session) -> None:
    """Let the clients of a session raise errors of botocore for answers that can't be read.

    They repeat reads whose answer can't be read, and no other calls: AWS may have carried them out.
    """
    session.register("creating-client-class", _add_calls)
    session.register("response-received", _check)


def _add_calls(**event: Any) -> None:
    event["base_classes"].insert(0, _Calls)


class _Calls:
    """Calls of a client whose failures are errors of botocore."""

    def _make_api_call(self, operation_name: str, api_params: Mapping[str, Any]) -> Any:
        attempts = _ATTEMPTS if operation_name.startswith(_READS) else 1
        for attempt in range(1, attempts + 1):
            try:
                # A mixin: botocore puts its own base class after this one.
                return super()._make_api_call(operation_name, api_params)  # type: ignore[misc]
            except ForeignAnswerError:
                raise
            except CutAnswerError:
                if attempt == attempts:
                    raise
            except (BotoCoreError, ClientError, FlowymlError, MemoryError):
                raise
            except Exception as error:  # of urllib3 and of parsers: the kinds are not documented
                if attempt == attempts:
                    text = f"{type(error).__name__}: {error}"[:_MAX_CHARACTERS]
                    raise UnreadableAnswerError(operation=operation_name, error=text) from error
            clock.sleep(_WAIT_S * attempt)
        raise AssertionError("unreachable")


def _check(
    response_dict: Mapping[str, Any] | None = None, exception: Exception | None = None, **_: Any
) -> None:
    """Check an answer before botocore decides whether to repeat the call."""
    if response_dict is None or exception is not None or response_dict["status_code"] >= 300:
        return
    operation = response_dict["context"]["operation_name"]
    headers, body = response_dict["headers"], response_dict["body"]
    # The answer to a HEAD request states the size of the object; a stream is checked as it is read.
    has_body = isinstance(body, bytes) and not operation.startswith("Head")
    begins = body[:100].lstrip().lower() if has_body else b""
    is_html = not has_body and headers.get("content-type", "").startswith("text/html")
    is_page = is_html or begins.startswith(_PAGES)
    if is_page and not any(name in headers for name in _REQUEST_IDS):
        raise ForeignAnswerError(operation=operation)
    if has_body:
        expected = headers.get("content-length", "")
        if expected.isdigit() and len(body) < int(expected):
            raise CutAnswerError(operation=operation, received=len(body), expected=expected)
