"""Webhooks: a POST request with a JSON body.

Only HTTPS, without redirects, with limits of time and of attempts. No error contains the URL.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

from flowyml_aws.core.clock import sleep
from flowyml_aws.core.errors import FlowymlError, NoticeError

__all__ = ["Open", "post"]

_TIMEOUT_S = 10.0  # of each operation of an attempt
_PAUSES_S = (1.0, 4.0)  # before the second and the third attempt
_TRANSIENT = (429, 500, 502, 503, 504)
_NOT_OK = 300


class Open(Protocol):
    """Sends a request, and returns the response with its `status`."""

    def __call__(self, request: urllib.request.Request, *, timeout: float) -> Any: ...


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: another host would get the notice."""

    def redirect_request(self, *args: Any) -> None:
        return None


def _open(request: urllib.request.Request, *, timeout: float) -> Any:
    return urllib.request.build_opener(_NoRedirects).open(request, timeout=timeout)


def post(
    url: str, body: bytes, open_: Open = _open, pause: Callable[[float], None] = sleep
) -> None:
    """Post a JSON body to a URL, in at most three attempts.

    An attempt is repeated after an error of the network, and after the statuses 429, 500, 502, 503
    and 504. The body of the response is not read.

    Args:
        url: URL of the webhook.
        body: JSON.
        open_: Sends a request.
        pause: Waits for seconds.

    Raises:
        NoticeError: The URL is not an HTTPS URL, or the webhook has not accepted the notice.
    """
    host = _host(url)
    request = urllib.request.Request(  # noqa: S310 - `_host` accepts HTTPS only
        url,
        body,
        {"Content-Type": "application/json", "User-Agent": "flowyml-aws"},
        method="POST",
    )
    for pause_s in (*_PAUSES_S, None):
        reason, may_pass = _attempt(request, open_)
        if reason is None:
            return
        if pause_s is None or not may_pass:
            raise NoticeError(
                what=f"The webhook at {host} has not accepted the notice",
                why=reason,
                fix="check the URL in the secret or the variable, and whether this machine "
                "reaches the host; redirects are not followed",
            )
        pause(pause_s)


def _attempt(request: urllib.request.Request, open_: Open) -> tuple[str | None, bool]:
    """Return the reason of a failure, or None, and whether another attempt may succeed."""
    try:
        with open_(request, timeout=_TIMEOUT_S) as response:
            status = response.status
    except urllib.error.HTTPError as error:
        error.close()
        status = error.code
    except urllib.error.URLError as error:
        # The reason of a refused certificate or name contains the host at most.
        return f"{type(error.reason).__name__}: {error.reason}", True
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__, True  # its text may contain parts of the request
    if status < _NOT_OK:
        return None, False
    return f"it answered with the status {status}", status in _TRANSIENT


def _host(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        host, is_valid = parts.hostname, parts.scheme == "https" and parts.port != 0
    except ValueError:  # an invalid port or address
        host, is_valid = None, False
    if host is None or not is_valid or url != url.strip() or not url.isascii():
        raise _unusable()
    return host


def _unusable() -> FlowymlError:
    return NoticeError(
        what="The URL of the webhook can't be used",
        why="it is not an HTTPS URL without spaces, or has a host or port that is not valid",
        fix="store a URL that starts with https://",
    )
