"""Sessions with shells: who can connect to one, and how long."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

import pytest

from flowyml_aws.testing.machines.container import Container, Program
from flowyml_aws.testing.machines.machine import Task
from flowyml_aws.testing.shells.sessions import Session, Sessions

TARGET = "ecs:cluster_task_container"


@dataclass
class RunningContainer:
    """A container that runs."""

    pid: int = 7
    is_out_of_memory: bool = False

    def terminate(self) -> None: ...

    def kill(self) -> None: ...

    def wait(self) -> int:
        return 0

    def enter(self, command: Sequence[str], has_terminal: bool) -> Program:
        return Program([*command, str(has_terminal)], {"A": "1"}, "/job")


def running_task() -> Task:
    def prepare(folder: Path) -> Container:
        raise AssertionError("the task runs already")

    task = Task("job", "group", "stream", prepare, lambda: None, lambda ending: None)
    task.running = RunningContainer()
    return task


@pytest.fixture
def sessions() -> Sessions:
    return Sessions("http://127.0.0.1:1", RLock())


def connect(sessions: Sessions, session: Session, **members: Any) -> tuple[str, dict[str, Any]]:
    """Return the status and the body of the answer to a program that connects."""
    request = {"TokenValue": session.token, "Target": session.target, **members}
    body = json.dumps(request).encode()
    environ = {
        "PATH_INFO": session.url.removeprefix("http://127.0.0.1:1"),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    statuses: list[str] = []
    (answer,) = sessions(environ, lambda status, headers: statuses.append(status))
    return statuses[0], json.loads(answer)


def test_the_holder_of_the_token_gets_the_command(sessions: Sessions) -> None:
    session = sessions.open("ecs-execute-command-", TARGET, running_task(), ["ls"])
    status, answer = connect(sessions, session, HasTerminal=True)
    assert status == "200 OK"
    assert answer == {
        "arguments": ["ls", "True"],
        "environment": {"A": "1"},
        "folder": "/job",
        "pid": 7,
    }


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"TokenValue": "guess"}, "The session or its token is invalid"),
        ({"TokenValue": "é"}, "The session or its token is invalid"),
        ({"Target": "ecs:other"}, f"The session has the target {TARGET}"),
    ],
)
def test_a_wrong_token_or_target_is_refused(
    sessions: Sessions, members: dict[str, str], message: str
) -> None:
    session = sessions.open("", TARGET, running_task(), ["ls"])
    assert connect(sessions, session, **members) == ("403 Forbidden", {"message": message})


def test_the_token_of_a_session_is_not_that_of_another(sessions: Sessions) -> None:
    first, second = (sessions.open("", TARGET, running_task(), ["ls"]) for _ in range(2))
    assert connect(sessions, first, TokenValue=second.token)[0] == "403 Forbidden"


@pytest.mark.parametrize("following", [None, RunningContainer()], ids=["ended", "restarted"])
def test_a_session_ends_with_its_container(
    sessions: Sessions, following: RunningContainer | None
) -> None:
    task = running_task()
    session = sessions.open("", TARGET, task, ["ls"])
    task.running = following
    ended = "403 Forbidden", {"message": "The session has ended with its job"}
    assert connect(sessions, session) == ended


def test_a_task_that_does_not_run_has_no_sessions(sessions: Sessions) -> None:
    task = running_task()
    task.running = None
    with pytest.raises(ValueError, match="does not run"):
        sessions.open("", TARGET, task, ["ls"])
