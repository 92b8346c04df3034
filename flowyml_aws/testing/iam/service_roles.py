"""The services' use of the account's roles: credentials of jobs, images, logs and transfers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from threading import RLock
from typing import Any

from flowyml_aws.testing.iam.guard import Guard
from flowyml_aws.testing.iam.permissions import Need
from flowyml_aws.testing.iam.principals import AssumeRoleError, Principals
from flowyml_aws.testing.iam.task_secrets import read_task_secret
from flowyml_aws.testing.iam.training_needs import METRICS_NEED, key_needs, network_needs

__all__ = ["RoleError", "ServiceRoles"]

_TASKS, _SAGEMAKER = "ecs-tasks.amazonaws.com", "sagemaker.amazonaws.com"
# The same for both services: "Using ECS Exec", and SageMaker's guide to remote debugging.
_SHELL_NEEDS = tuple(
    Need(f"ssmmessages:{operation}{channel}Channel")
    for operation in ("Create", "Open")
    for channel in ("Control", "Data")
)
_ECR = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)")


class RoleError(OSError):
    """A service can't use a role. The text is the service's reason."""


class ServiceRoles:
    """Use of the account's roles by its services.

    Args:
        principals: The account's callers.
        guard: Access control.
        lock: Guards all state.
        account, region: The account.
    """

    def __init__(
        self, principals: Principals, guard: Guard, lock: RLock, account: str, region: str
    ) -> None:
        self._principals = principals
        self._guard = guard
        self._lock = lock
        self._place = f"{region}:{account}"
        self._logs = f"arn:aws:logs:{region}:{account}:log-group"

    def start_task(
        self, session: str, job_role: str | None, execution_role: str | None, image: str, log: str
    ) -> dict[str, str]:
        """Return the credentials of a Batch job's container, as environment variables.

        Without an execution role, the role of the instance pulls the image and writes the log; the
        policy that AWS manages for it allows both.

        Args:
            session: Name of the role session: the id of the task.
            job_role: ARN of the role of the job's code; None for no credentials.
            execution_role: ARN of the role that pulls the image and writes the log, or None.
            image: URI of the image.
            log: Log group and stream, separated by a colon.

        Raises:
            RoleError: The task can't start.
        """
        with self._lock:
            if execution_role is not None:
                self._assume_for_task(execution_role, session)
                if denied := self._guard.denial(execution_role, session, _pull(image)):
                    raise RoleError(f"CannotPullECRContainerError: AccessDeniedException: {denied}")
                if denied := self._guard.denial(execution_role, session, self._write(log)):
                    raise RoleError(
                        "CannotStartContainerError: Error response from daemon: failed to "
                        "initialize logging driver: failed to create Cloudwatch log stream: "
                        f"AccessDeniedException: {denied}"
                    )
            return {} if job_role is None else self._assume_for_task(job_role, session)

    def task_secrets(
        self, session: str, execution_role: str | None, secrets: Iterable[Mapping[str, str]]
    ) -> dict[str, str]:
        """Return the values of the secrets of a job definition, by environment variable.

        Args:
            session: Name of the role session: the id of the task.
            execution_role: ARN of the role that reads them. Batch requires one for secrets.
            secrets: Members `secrets` of the definition: `name` and `valueFrom`.

        Raises:
            RoleError: The task can't start.
        """
        region = self._place.partition(":")[0]
        with self._lock:
            try:
                return {
                    secret["name"]: read_task_secret(
                        secret["valueFrom"],
                        region,
                        lambda need: self._guard.denial(str(execution_role), session, [need]),
                    )
                    for secret in secrets
                }
            except LookupError as error:
                raise RoleError(str(error.args[0])) from error

    def check_training(self, role: str) -> str | None:
        """Return SageMaker's message if it can't assume the role of a training job, or None."""
        with self._lock:
            try:
                self._principals.assume(role, "SageMaker", _SAGEMAKER)
            except AssumeRoleError:
                return (
                    f"Could not assume role {role}. Please ensure that the role exists and allows "
                    f"principal '{_SAGEMAKER}' to assume the role."
                )
        return None

    def start_training(self, request: Mapping[str, Any], log: str) -> dict[str, str]:
        """Return the credentials of a training job's container, as environment variables.

        Args:
            request: CreateTrainingJob request.
            log: Log group and stream, separated by a colon.

        Raises:
            RoleError: SageMaker can't use the job's subnets or its keys, or can't pull its image.
        """
        role = request["RoleArn"]
        image = request["AlgorithmSpecification"]["TrainingImage"]
        with self._lock:
            needs = (*network_needs(request, self._place), *key_needs(request, self._place))
            if denied := self._guard.denial(role, "SageMaker", needs):
                raise RoleError(f"ClientError: Access denied: {denied}")
            if denied := self._guard.denial(role, "SageMaker", _pull(image)):
                raise RoleError(
                    f"ClientError: Cannot pull image {image}: the role {role} has no permission: "
                    f"{denied}"
                )
            # A job whose log or metrics can't be written runs without them.
            self._guard.denial(role, "SageMaker", self._write(log))
            self._guard.denial(role, "SageMaker", [METRICS_NEED])
            return self._principals.assume(role, "SageMaker").environment

    def lets_shells_connect(self, role: str | None, session: str) -> bool:
        """Return whether the agent for shells of a container can connect, with the job's role.

        Args:
            role: ARN of the role of the job's code; None if it has none.
            session: Name of the role session.
        """
        with self._lock:
            return role is not None and self._guard.denial(role, session, _SHELL_NEEDS) is None

    def transfer(self, role: str, action: str, uri: str) -> None:
        """Check what SageMaker transfers from or to S3 with the role of a training job.

        Args:
            role: ARN of the training job's role.
            action: `s3:GetObject` or `s3:PutObject`.
            uri: URI of the object.

        Raises:
            RoleError: The role does not allow it.
        """
        with self._lock:
            need = Need(action, f"arn:aws:s3:::{uri.removeprefix('s3://')}")
            if denied := self._guard.denial(role, "SageMaker", [need]):
                raise RoleError(f"ClientError: Access denied: {denied}")

    def _assume_for_task(self, role: str, session: str) -> dict[str, str]:
        try:
            return self._principals.assume(role, session, _TASKS).environment
        except AssumeRoleError as error:
            raise RoleError(
                f"ECS was unable to assume the role '{role}' that was provided for this task. "
                "Please verify that the role being passed has the proper trust relationship and "
                f"permissions and that your IAM user has permissions to pass this role. ({error})"
            ) from error

    def _write(self, log: str) -> Iterator[Need]:
        group, _, stream = log.rpartition(":")
        for action in ("CreateLogStream", "PutLogEvents"):
            yield Need(f"logs:{action}", f"{self._logs}:{group}:log-stream:{stream}")


def _pull(image: str) -> Iterator[Need]:
    if (match := _ECR.match(image)) is None:
        return
    account, region, repository = match.groups()
    arn = f"arn:aws:ecr:{region}:{account}:repository/{repository}"
    yield Need("ecr:GetAuthorizationToken")
    for action in ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer"):
        yield Need(f"ecr:{action}", arn)
