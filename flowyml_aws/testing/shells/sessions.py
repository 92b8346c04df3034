"""Sessions with running jobs, to which the stand-in for the Session Manager plugin connects."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from threading import RLock
from typing import Any

from flowyml_aws.testing.calls import read_body
from flowyml_aws.testing.machines.container import Running
from flowyml_aws.testing.machines.machine import Task

__all__ = ["SESSION_PATH", "Session", "Sessions"]

SESSION_PATH = "/v1/data-channel/"


@dataclass(frozen=True, slots=True)
class Session:
    """A session with the container of a job, which ends with it.

    Attributes:
        session_id: Id, also the end of the URL.
        url: URL of its stream.
        token: Secret with which a program connects to it.
        target: Target that the program names.
        task: Task of the container.
        running: The container. The session has ended if the task no longer runs it.
        command: Program and arguments to start in the container.
    """

    session_id: str
    url: str
    token: str
    target: str
    task: Task
    running: Running
    command: tuple[str, ...]


class Sessions:
    """WSGI application: answers a program that connects to a session with the command to run.

    On AWS, the stream carries the bytes of the terminal. Here, the program runs on the machine of
    the job, so that it can give its own terminal to the command.

    Args:
        endpoint_url: URL of the emulator.
        lock: Guards all state.
    """

    def __init__(self, endpoint_url: str, lock: RLock) -> None:
        self._url = endpoint_url + SESSION_PATH
        self._lock = lock
        self._sessions: dict[str, Session] = {}

    def open(self, prefix: str, target: str, task: Task, command: Sequence[str]) -> Session:
        """Open a session with a running task; called with the lock.

        Args:
            prefix: Start of the session's id.
            target: Target that the connecting program must name.
            task: Task to connect to.
            command: Program and arguments to start in its container.

        Raises:
            ValueError: The task does not run.
        """
        if task.running is None:
            raise ValueError(f"Task {task.name} does not run")
        session_id = f"{prefix}{secrets.token_hex(8)}"
        session = Session(
            session_id,
            f"{self._url}{session_id}",
            secrets.token_urlsafe(32),
            target,
            task,
            task.running,
            tuple(command),
        )
        self._sessions[session_id] = session
        return session

    def __call__(self, environ: Mapping[str, Any], start_response: Any) -> Iterable[bytes]:
        session_id = environ["PATH_INFO"].removeprefix(SESSION_PATH)
        try:
            request = json.loads(read_body(environ) or b"{}")
            with self._lock:
                answer = self._connect(session_id, request)
            status = "200 OK"
        except (ValueError, OSError) as error:
            status, answer = "403 Forbidden", {"message": str(error)}
        body = json.dumps(answer).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(status, headers)
        return [body]

    def _connect(self, session_id: str, request: Mapping[str, Any]) -> dict[str, Any]:
        session = self._sessions.get(session_id)
        token = str(request.get("TokenValue"))
        if session is None or not secrets.compare_digest(token.encode(), session.token.encode()):
            raise ValueError("The session or its token is invalid")
        if session.target != request.get("Target"):
            raise ValueError(f"The session has the target {session.target}")
        if session.task.running is not session.running:
            raise ValueError("The session has ended with its job")
        program = session.running.enter(session.command, bool(request.get("HasTerminal")))
        return {**asdict(program), "pid": session.running.pid}
