"""Sessions of AWS Systems Manager, to which the Session Manager plugin connects a terminal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import error_code, refused
from flowyml_aws.core.errors import AwsRefusedError, StepUnavailableError
from flowyml_aws.submission.backend import ShellSession

__all__ = [
    "PLUGIN",
    "end_session",
    "no_session",
    "not_requested",
    "not_running",
    "plugin_session",
    "require_plugin",
]

PLUGIN = "session-manager-plugin"


def plugin_session(session: Mapping[str, Any], client: Any, target: str) -> ShellSession:
    """Return the program that connects this terminal to a session.

    Its arguments are those with which `aws ssm start-session` and `aws ecs execute-command` call it
    (aws-cli, `customizations/sessionmanager.py` and `customizations/ecs/executecommand.py`).

    Args:
        session: Id, stream and token of the session.
        client: Client that has opened it.
        target: Target of the session, with which the plugin can resume it.
    """
    return ShellSession(
        arguments=(
            PLUGIN,
            json.dumps(dict(session)),
            client.meta.region_name,
            "StartSession",
            "",  # the profile; the token of the session is enough
            json.dumps({"Target": target}),
            client.meta.endpoint_url,
        ),
        id=str(session.get("sessionId") or session.get("SessionId") or ""),
    )


def end_session(ssm: Any, session: str) -> None:
    """Try to end a session. Without the permission, it ends with its job."""
    with suppress(ClientError, BotoCoreError):
        ssm.terminate_session(SessionId=session)


def require_plugin() -> None:
    """Check that the Session Manager plugin is installed, before a session is opened.

    Raises:
        StepUnavailableError: It is not.
    """
    if shutil.which(PLUGIN) is None:
        raise StepUnavailableError(
            what=f"{PLUGIN} is not installed",
            why="it connects this terminal to the shell of a job on AWS",
            fix="install it: https://docs.aws.amazon.com/systems-manager/latest/userguide/"
            "session-manager-working-with-install-plugin.html",
        )


def not_running(job: str, why: str) -> StepUnavailableError:
    """Return the error for a job that does not run now."""
    return StepUnavailableError(
        what=f"Job {job!r} is not running",
        why=why,
        fix="open a shell while it runs: `flowyml-aws status` shows it",
    )


def not_requested(job: str) -> StepUnavailableError:
    """Return the error for a job that was submitted without a shell."""
    return StepUnavailableError(
        what=f"Job {job!r} was submitted without a shell",
        why="AWS starts the agent for shells together with the container, and only if asked to",
        fix="start another run with `flowyml-aws run --debug-shell`, or use `flowyml-aws exec`",
    )


def no_session(job: str, error: ClientError | BotoCoreError) -> AwsRefusedError:
    """Return the error for a session that AWS did not open."""
    if isinstance(error, ClientError) and error_code(error) in _NOT_CONNECTED:
        return AwsRefusedError(
            what=f"AWS can't connect to job {job!r}",
            why=f"its agent for shells does not answer: {error}",
            fix="wait some seconds after the start of the job; if it never answers, create the "
            "account with debug_shell = true, which lets the roles of jobs connect",
        )
    refusal = refused(error, f"open a shell in job {job!r}")
    if isinstance(error, ClientError) and error_code(error) in _DENIED:
        return AwsRefusedError(
            what=refusal.what,
            why=refusal.why,
            fix="create the account with debug_shell = true, and use its user role; otherwise, "
            f"{refusal.fix}",
        )
    return refusal


_DENIED = {"AccessDenied", "AccessDeniedException"}
_NOT_CONNECTED = {"TargetNotConnected", "TargetNotConnectedException"}
