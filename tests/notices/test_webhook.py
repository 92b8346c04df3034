"""Webhooks: requests, attempts and refusals, with scripted answers instead of a network."""

from __future__ import annotations

import http.client
import io
import urllib.error
import urllib.request
from contextlib import contextmanager
from email.message import Message
from types import SimpleNamespace
from typing import Any

import pytest

from flowyml_aws.core.errors import NoticeError
from flowyml_aws.notices.webhook import post

URL = "https://hooks.example.com/s3cret"


class Host:
    """A host that gives the scripted answers: statuses, or errors."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[urllib.request.Request] = []
        self.pauses: list[float] = []

    def __call__(self, request: urllib.request.Request, *, timeout: float) -> Any:
        assert timeout <= 10
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer >= 300:
            raise urllib.error.HTTPError(URL, answer, "reason", Message(), io.BytesIO(b"body"))
        return self._response(answer)

    @contextmanager
    def _response(self, status: int) -> Any:
        yield SimpleNamespace(status=status)

    def post(self, url: str = URL) -> None:
        post(url, b'{"a": 1}', self, self.pauses.append)


def test_a_notice_is_posted_as_json() -> None:
    host = Host(204)
    host.post()
    (request,) = host.requests
    assert (request.method, request.data) == ("POST", b'{"a": 1}')
    assert request.get_header("Content-type") == "application/json"


@pytest.mark.parametrize("answer", [503, 429, TimeoutError(), urllib.error.URLError(OSError("x"))])
def test_an_answer_that_may_pass_is_asked_for_again(answer: int | Exception) -> None:
    host = Host(answer, answer, 200)
    host.post()
    assert len(host.requests) == 3
    assert len(host.pauses) == 2


def test_the_third_failure_is_an_error() -> None:
    host = Host(500, 500, 500)
    with pytest.raises(NoticeError, match="status 500"):
        host.post()
    assert host.answers == []


@pytest.mark.parametrize("status", [301, 302, 307, 400, 403, 404])
def test_a_refusal_or_redirect_is_an_error_at_once(status: int) -> None:
    host = Host(status)
    with pytest.raises(NoticeError, match=f"status {status}"):
        host.post()
    assert host.pauses == []


@pytest.mark.parametrize(
    "answers",
    [[404], [OSError(URL)] * 3, [http.client.InvalidURL(URL)] * 3],
    ids=["status", "network", "url"],
)
def test_an_error_shows_the_host_and_not_the_path(answers: list[int | Exception]) -> None:
    with pytest.raises(NoticeError) as caught:
        Host(*answers).post()
    assert "hooks.example.com" in caught.value.what
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/s3cret",
        "file:///etc/s3cret",
        "https:///s3cret",
        "https://hooks.example.com:port/s3cret",
        "https://hooks.example.com/s3cret x\n",
        "s3cret",
        "",
    ],
)
def test_a_url_that_is_not_https_is_refused_without_a_request(url: str) -> None:
    host = Host()
    with pytest.raises(NoticeError) as caught:
        host.post(url)
    assert host.requests == []
    assert "s3cret" not in str(caught.value)
