"""References to secrets: the mapping `secrets` of steps and pipelines, and its checks.

Only references are part of plans, job specs and job definitions. The values are resolved where the
job runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from flowyml_aws.core.environment import name_problem, sign_of_secret
from flowyml_aws.core.errors import FlowymlError, InvalidEnvironmentError

__all__ = ["SecretReference", "parse_reference", "secret_problems"]

# Secrets Manager User Guide, "Secrets Manager secret ARN"; AWS Batch User Guide, "Specify sensitive
# data with Secrets Manager": the key, the version stage and the version id may follow.
_SECRET = re.compile(
    r"(?P<id>arn:[\w-]+:secretsmanager:(?P<region>[\w-]+):\d{12}:secret:[\w/+=.@-]+)"
    r"(:(?P<key>[^:]*):(?P<stage>[^:]*):(?P<version>[^:]*))?"
)
_PARAMETER_ARN = re.compile(
    r"arn:[\w-]+:ssm:(?P<region>[\w-]+):\d{12}:parameter/(?P<name>[\w./-]+)"
)
_PARAMETER = re.compile(r"/?[\w.-]+(/[\w.-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class SecretReference:
    """A reference to a secret of AWS.

    Attributes:
        service: Service that stores the value, by its name in boto3.
        id: ARN of a secret, or name or ARN of a parameter.
        region: Region of the secret; None for that of the job.
        key: Key of a secret that is a JSON object; empty for the whole secret.
        stage, version: Version of the secret; empty for the current one.
    """

    service: Literal["secretsmanager", "ssm"]
    id: str
    region: str | None = None
    key: str = ""
    stage: str = ""
    version: str = ""


def parse_reference(text: str) -> SecretReference | None:
    """Return the reference that a string is, or None if it is not one.

    It has the form of `valueFrom` in a job definition of Batch: the ARN of a secret in Secrets
    Manager, with or without `:KEY:STAGE:VERSION`; or the ARN or the name of an SSM parameter.
    """
    if (match := _SECRET.fullmatch(text)) is not None:
        parts = {name: match[name] or "" for name in ("key", "stage", "version")}
        return SecretReference("secretsmanager", match["id"], match["region"], **parts)
    if (match := _PARAMETER_ARN.fullmatch(text)) is not None:
        return SecretReference("ssm", text, match["region"])
    if _PARAMETER.fullmatch(text) and not text.startswith("arn:"):
        return SecretReference("ssm", text)
    return None


def secret_problems(secrets: object, env: object, owner: str) -> list[FlowymlError]:
    """Return an error for each reference that jobs can't resolve. No error contains a value.

    Args:
        secrets: Value that the user passed as `secrets`; None for no secrets.
        env: Environment variables of the same owner.
        owner: Owner of the secrets, for the errors: `step 'train'`.
    """
    if secrets is None:
        return []
    if not isinstance(secrets, Mapping):
        return [
            InvalidEnvironmentError(
                what=f"Invalid secrets of {owner}: expected a mapping, got "
                f"{type(secrets).__name__}",
                why="secrets is a mapping of environment variables to references",
                fix='write for example secrets={"TOKEN": "my-parameter"}',
            )
        ]
    variables = env if isinstance(env, Mapping) else {}
    return [
        problem
        for name, reference in secrets.items()
        for problem in _problems(name, reference, name in variables, owner)
    ]


def _problems(
    name: object, reference: object, is_variable: bool, owner: str
) -> Iterator[FlowymlError]:
    secret = f"Secret {name!r} of {owner}"
    if (problem := name_problem(name, secret)) is not None:
        yield problem
        return
    if is_variable:
        yield InvalidEnvironmentError(
            what=f"{secret} is an environment variable, too",
            why="env and secrets both set a variable of this name",
            fix="remove one of them",
        )
    is_value = isinstance(reference, str) and sign_of_secret("", reference) is not None
    if not isinstance(reference, str) or is_value or parse_reference(reference) is None:
        yield InvalidEnvironmentError(
            what=f"{secret} has an invalid reference",
            why="it seems to be the value of a secret"
            if is_value
            else "a reference is the ARN of a secret in AWS Secrets Manager, or the ARN or the "
            "name of an SSM parameter",
            fix="store the value there, and write for example "
            f'secrets={{"{name}": "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-AbCdEf"}}',
        )
