"""Values of the secrets of Batch job definitions, as the ECS agent reads them before a start.

Source: AWS Batch User Guide, "Specify sensitive data" (specifying-sensitive-data); the messages are
those of the ECS agent.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from moto.core.exceptions import JsonRESTError
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.secretsmanager.models import secretsmanager_backends
from moto.ssm.models import ssm_backends

from flowyml_aws.core.secret_references import SecretReference, parse_reference
from flowyml_aws.testing.iam.permissions import Need

__all__ = ["read_task_secret"]


def read_task_secret(value_from: str, region: str, denial: Callable[[Need], str | None]) -> str:
    """Return the value of a secret.

    Args:
        value_from: `valueFrom` of the secret in the job definition.
        region: Region of the job.
        denial: Returns AWS's message if the execution role lacks a permission, or None.

    Raises:
        LookupError: The secret can't be read. The text is the agent's message.
    """
    secret = parse_reference(value_from)
    if secret is None:
        raise LookupError(f"invalid ARN or name of a secret: {value_from}")
    place = secret.region or region
    read = _read_parameter if secret.service == "ssm" else _read_secret
    try:
        return read(secret, place, denial)
    except PermissionError as error:
        raise LookupError(_failed(secret, place, f"AccessDeniedException: {error}")) from error
    except (KeyError, ValueError) as error:
        raise LookupError(_failed(secret, place, str(error.args[0]))) from error


def _failed(secret: SecretReference, region: str, reason: str) -> str:
    if secret.service == "ssm":
        return f"Fetching secret data from SSM Parameter Store in {region}: {reason}"
    return (
        f"Fetching secret data from AWS Secrets Manager in region {region}: secret {secret.id}: "
        f"{reason}"
    )


def _read_parameter(
    secret: SecretReference, region: str, denial: Callable[[Need], str | None]
) -> str:
    name = secret.id.partition(":parameter/")[2] or secret.id.lstrip("/")
    arn = f"arn:aws:ssm:{region}:{DEFAULT_ACCOUNT_ID}:parameter/{name}"
    if message := denial(Need("ssm:GetParameters", arn)):
        raise PermissionError(message)
    backend = ssm_backends[DEFAULT_ACCOUNT_ID][region]
    found = backend.get_parameter(name) or backend.get_parameter(f"/{name}")
    if found is None:
        raise KeyError(f"invalid parameters: {secret.id}")
    return str(found.response_object(decrypt=True, region=region)["Value"])


def _read_secret(secret: SecretReference, region: str, denial: Callable[[Need], str | None]) -> str:
    if message := denial(Need("secretsmanager:GetSecretValue", secret.id)):
        raise PermissionError(message)
    backend = secretsmanager_backends[DEFAULT_ACCOUNT_ID][region]
    try:
        value = backend.get_secret_value(secret.id, secret.version, secret.stage)
    except JsonRESTError as error:
        raise KeyError(f"{error.error_type}: {error.message}") from error
    text = str(value["SecretString"])
    if not secret.key:
        return text
    try:
        member = json.loads(text)[secret.key]
    except (ValueError, KeyError, TypeError):
        raise KeyError(f"retrieved secret does not contain JSON key {secret.key}") from None
    return member if isinstance(member, str) else json.dumps(member)
