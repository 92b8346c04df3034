"""A shell that a proof opens in a running job, without a program that connects to it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.submission.backend import Backend, ShellSession, no_shells

__all__ = ["OpensSessions", "open_session"]

_SHELL = "/bin/sh"


@runtime_checkable
class OpensSessions(Protocol):
    """A backend whose service opens sessions in running jobs."""

    def open_session(self, job: str, node: int, shell: str) -> ShellSession:
        """Open a session in the container of a job. Same as `Shells.open_shell`.

        The program that connects to it need not be installed.
        """


def open_session(backend: Backend, job: str, service: str) -> ShellSession | FlowymlError:
    """Open a session in a running job. Return the error if the service does not open it now.

    The agent in the container answers some seconds after its start: the caller tries again.
    """
    if not isinstance(backend, OpensSessions):
        return no_shells(job, service)
    try:
        return backend.open_session(job, 0, _SHELL)
    except FlowymlError as error:
        return error
