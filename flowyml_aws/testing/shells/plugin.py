"""Stand-in for the Session Manager plugin, which connects a terminal to a session of the emulator.

It is a program that uses the standard library only, as the environment of a client may not have
this package. Its arguments, output and exit code are those of `session-manager-plugin`, which
reports 0 whatever the exit code of the command is.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = ["install"]

_NAME = "session-manager-plugin"
_OPERATION = "StartSession"
_CHECK_S = 0.2


def install(folder: Path) -> None:
    """Write the program into a folder, under the name of the plugin."""
    folder.mkdir()
    program = folder / _NAME
    command = shlex.join([sys.executable, "-I", __file__])
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n', "utf-8")
    program.chmod(0o755)


def _main(arguments: Sequence[str]) -> int:
    if len(arguments) != 6 or arguments[2] != _OPERATION:
        print(
            f"{_NAME} of the emulator: expected SESSION REGION {_OPERATION} PROFILE PARAMETERS "
            "ENDPOINT, as flowyml-aws and the AWS CLI pass them",
            file=sys.stderr,
        )
        return 1
    # ECS and Systems Manager differ in the case of these names.
    session = {name.lower(): value for name, value in json.loads(arguments[0]).items()}
    target = json.loads(arguments[4])["Target"]
    try:
        answer = _connect(session["streamurl"], session["tokenvalue"], target)
    except OSError as error:
        print(f"{_NAME} of the emulator: {error}", file=sys.stderr)
        return 1
    print(f"\nStarting session with SessionId: {session['sessionid']}", flush=True)
    try:
        _run(answer)
    except OSError as error:
        print(f"Unable to start command: {error}")
    print(f"\n\nExiting session with sessionId: {session['sessionid']}.\n")
    return 0


def _connect(url: str, token: str, target: str) -> Mapping[str, Any]:
    """Return the command of a session, and the process id of its job.

    Raises:
        OSError: The emulator does not answer, or the session is invalid or has ended.
    """
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc)
    has_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    request = {"TokenValue": token, "Target": target, "HasTerminal": has_terminal}
    connection.request("POST", parts.path, json.dumps(request))
    response = connection.getresponse()
    answer: Mapping[str, Any] = json.loads(response.read())
    connection.close()
    if response.status != 200:
        raise OSError(answer["message"])
    return answer


def _run(answer: Mapping[str, Any]) -> None:
    """Run the command of a session with this terminal, until it or the job ends."""
    # Ctrl-C is for the command. Not SIG_IGN, which it would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    command = subprocess.Popen(answer["arguments"], env=answer["environment"], cwd=answer["folder"])
    while True:
        try:
            command.wait(_CHECK_S)
            return
        except subprocess.TimeoutExpired:
            if not _exists(answer["pid"]):
                command.send_signal(signal.SIGHUP)
                command.wait()
                return


def _exists(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # of another user
    return True


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
