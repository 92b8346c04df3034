"""The session that a proof opens in a running job."""

from __future__ import annotations

from typing import Any

from flowyml_aws.core.errors import FlowymlError, StepUnavailableError
from flowyml_aws.doctor.prove.shells import open_session
from flowyml_aws.submission.backend import ShellSession

SESSION = ShellSession(("plugin",), "s-1")
NOT_YET = StepUnavailableError(what="Not yet", why="the agent starts", fix="try again")


class Service:
    """A backend whose service opens sessions, or refuses to."""

    def __init__(self, answer: ShellSession | FlowymlError) -> None:
        self._answer = answer

    def open_session(self, job: str, node: int, shell: str) -> ShellSession:
        if isinstance(self._answer, FlowymlError):
            raise self._answer
        return self._answer


def opened(backend: Any) -> ShellSession | FlowymlError:
    return open_session(backend, "prove", "batch")


def test_a_session_is_opened_or_its_error_returned() -> None:
    assert opened(Service(SESSION)) is SESSION
    assert opened(Service(NOT_YET)) is NOT_YET


def test_a_service_without_sessions_is_an_error() -> None:
    assert "No shell can be opened in job 'prove'" in str(opened(object()))
