"""Secrets of AWS Secrets Manager and of the SSM Parameter Store: their values, and their existence.

No error contains a value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.connection.sessions import new_session
from flowyml_aws.aws.errors import error_code, refused
from flowyml_aws.core.errors import AwsRefusedError, FlowymlError, SettingsError
from flowyml_aws.core.secret_references import SecretReference, parse_reference

__all__ = ["NewClient", "missing_secrets", "read_job_secret", "read_secret"]

NewClient = Callable[[str, "str | None"], Any]
"""Returns the boto3 client of a service in a region; None for the default region."""

_MISSING = {"InvalidResourceId", "ResourceNotFoundException"}
_DENIED = {"AccessDeniedException", "AccessDenied", "UnauthorizedOperation"}


def read_secret(reference: str, new_client: NewClient) -> str:
    """Return the value of a secret.

    Args:
        reference: Reference that `parse_reference` accepts.
        new_client: Creates the client of its service.

    Raises:
        AwsRefusedError: AWS denied the call, or the secret has no such value.
    """
    secret = _parsed(reference)
    try:
        if secret.service == "ssm":
            parameter = new_client("ssm", secret.region).get_parameter(
                Name=secret.id, WithDecryption=True
            )
            return str(parameter["Parameter"]["Value"])
        version = {"VersionStage": secret.stage, "VersionId": secret.version}
        value = new_client("secretsmanager", secret.region).get_secret_value(
            SecretId=secret.id, **{name: text for name, text in version.items() if text}
        )
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"read the secret {reference}") from error
    if "SecretString" not in value:
        raise _unusable(reference, "it is binary")
    text = str(value["SecretString"])
    return _member(text, secret.key, reference) if secret.key else text


def missing_secrets(references: Collection[str], new_client: NewClient) -> list[FlowymlError]:
    """Return an error for each secret that does not exist. No value is read.

    A secret whose existence the caller may not know is not reported: only the role of the job
    needs permissions.
    """
    problems: list[FlowymlError] = []
    for reference in sorted(references):
        secret = _parsed(reference)
        try:
            exists = _exists(secret, new_client(secret.service, secret.region))
        except ClientError as error:
            if error_code(error) in _DENIED:
                continue
            exists = error_code(error) not in _MISSING
            if exists:
                problems.append(refused(error, f"look up the secret {reference}"))
        except BotoCoreError as error:
            problems.append(refused(error, f"look up the secret {reference}"))
            exists = True
        if not exists:
            problems.append(
                SettingsError(
                    what=f"The secret {reference} does not exist",
                    why="AWS Secrets Manager has none with this ARN"
                    if secret.service == "secretsmanager"
                    else "the SSM Parameter Store has no such parameter in the region of the run",
                    fix="create it, or correct the reference in secrets=",
                )
            )
    return problems


def _exists(secret: SecretReference, client: Any) -> bool:
    if secret.service == "secretsmanager":
        return "DeletedDate" not in client.describe_secret(SecretId=secret.id)
    # It needs the exact name, where DescribeParameters would show the names of all parameters.
    name = secret.id.partition(":parameter")[2] or secret.id
    for candidate in (name, name.lstrip("/")):  # the ARN of `name` is also that of `/name`
        with suppress(client.exceptions.InvalidResourceId):
            client.list_tags_for_resource(ResourceType="Parameter", ResourceId=candidate)
            return True
    return False


def _parsed(reference: str) -> SecretReference:
    secret = parse_reference(reference)
    if secret is None:
        raise _unusable(reference, "it is not a reference to a secret")
    return secret


def _member(text: str, key: str, reference: str) -> str:
    try:
        value = json.loads(text)[key]
    except (ValueError, KeyError, TypeError):
        raise _unusable(reference, f"it is not a JSON object with the key {key!r}") from None
    return value if isinstance(value, str) else json.dumps(value)


def _unusable(reference: str, why: str) -> AwsRefusedError:
    return AwsRefusedError(
        what=f"Can't use the secret {reference}",
        why=why,
        fix="correct the reference in secrets=, or the secret",
    )


def read_job_secret(reference: str) -> str:
    """Return the value of a secret, with the credentials of the role of this job.

    Raises:
        AwsRefusedError: AWS denied the call.
    """
    session = new_session()
    config = Config(retries={"mode": "standard", "max_attempts": 10})
    return read_secret(
        reference, lambda service, region: session.create_client(service, region, config=config)
    )
