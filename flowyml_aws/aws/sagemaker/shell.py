"""A shell in a training job of SageMaker: remote debugging."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.shell_sessions import (
    no_session,
    not_requested,
    not_running,
    plugin_session,
    require_plugin,
)
from flowyml_aws.submission.backend import ShellSession

__all__ = ["open_training_session", "open_training_shell"]


def open_training_shell(ssm: Any, detail: Any, job: str, node: int) -> ShellSession:
    """Open a shell in the container of a training job, for the Session Manager plugin.

    Args and errors: same as in `open_training_session`.

    Raises:
        StepUnavailableError: The plugin is not installed.
    """
    _require_shell(detail, job)
    require_plugin()
    return open_training_session(ssm, detail, job, node)


def open_training_session(ssm: Any, detail: Any, job: str, node: int) -> ShellSession:
    """Open a session in the container of a training job. The plugin need not be installed.

    Source of the target: "Access a training container through AWS Systems Manager (SSM) for remote
    debugging" in SageMaker's developer guide.

    Args:
        ssm: Client of AWS Systems Manager.
        detail: The training job, as DescribeTrainingJob returns it.
        job: Name of the job in the plan, for errors.
        node: Number of the instance, from 0.

    Raises:
        StepUnavailableError: The job does not run, or was submitted without a shell.
        AwsRefusedError: AWS denied the call, or can't connect to the container.
    """
    _require_shell(detail, job)
    target = f"sagemaker-training-job:{detail['TrainingJobName']}_algo-{node + 1}"
    try:
        answer = ssm.start_session(Target=target)
    except (ClientError, BotoCoreError) as error:
        raise no_session(job, error) from error
    session = {name: answer[name] for name in ("SessionId", "TokenValue", "StreamUrl")}
    return plugin_session(session, ssm, target)


def _require_shell(detail: Any, job: str) -> None:
    """Check that a shell can be opened in a training job.

    Raises:
        StepUnavailableError: The job does not run, or was submitted without a shell.
    """
    if detail["SecondaryStatus"] != "Training":
        raise not_running(job, f"SageMaker reports {detail['SecondaryStatus']}")
    if not detail.get("RemoteDebugConfig", {}).get("EnableRemoteDebug"):
        raise not_requested(job)
