"""Environment variables of jobs: the checks of a mapping, and merging.

Values are never part of an error: they may be secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from flowyml_aws.core.errors import FlowymlError, InvalidEnvironmentError

__all__ = [
    "environment_problems",
    "looks_secret",
    "merge_environments",
    "name_problem",
    "sign_of_secret",
]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED_PREFIXES = ("FLOWYML_", "AWS_BATCH", "AWS_CONTAINER_", "SM_")
_RESERVED = {
    "AWS_DEFAULT_REGION": "it is the region of the run; use the setting `region`",
    "PYTHONHASHSEED": "all jobs use the same hash seed",
    "PYTHONIOENCODING": "the output of all jobs is UTF-8",
    "PYTHONUNBUFFERED": "the output of all jobs is unbuffered",
    "TRAINING_JOB_ARN": "SageMaker sets it",
    "TRAINING_JOB_NAME": "SageMaker sets it",
    **dict.fromkeys(
        (
            "AWS_ACCESS_KEY_ID",
            "AWS_PROFILE",
            "AWS_ROLE_ARN",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SECURITY_TOKEN",
            "AWS_SESSION_TOKEN",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
        ),
        "the role of the job provides its AWS credentials",
    ),
}
_SECRET_NAME = re.compile(
    # Not TOKENIZERS_PARALLELISM, not MAX_TOKENS.
    r"SECRET|TOKEN(?!IZ|S)|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIAL",
    re.IGNORECASE,
)
_SECRET_VALUES = {
    "an AWS access key": re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{12,}"),
    "a private key": re.compile(r"-----BEGIN"),
    "a token of GitHub": re.compile(r"\b(gh[oprsu]_|github_pat_)\w"),
    "an API key": re.compile(r"(?<![\w-])sk-(?=[\w-]*\d)[\w-]{10,}"),
    "a token of Hugging Face": re.compile(r"\bhf_[A-Za-z0-9]{10,}"),
    "a JSON web token": re.compile(r"\beyJ[\w-]{5,}\.eyJ[\w-]+\.[\w-]*"),
    "a URL with a password": re.compile(r"\w://[^/\s:@]*:[^/\s@]+@"),
}
_STORE_ELSEWHERE = (
    "store it in AWS Secrets Manager or the SSM Parameter Store, and pass a reference with "
    "secrets={NAME: ARN}"
)


def environment_problems(env: object, owner: str) -> list[FlowymlError]:
    """Return an error for each variable that jobs can't have.

    Args:
        env: Value that the user passed as `env`; None for no variables.
        owner: Owner of the variables, for the errors: `step 'train'`.
    """
    if env is None:
        return []
    if not isinstance(env, Mapping):
        return [
            InvalidEnvironmentError(
                what=f"Invalid env of {owner}: expected a mapping, got {type(env).__name__}",
                why="env is a mapping of names to strings",
                fix='write for example env={"LEVEL": "9"}',
            )
        ]
    return [problem for name, value in env.items() for problem in _problems(name, value, owner)]


def looks_secret(name: str) -> bool:
    """Return whether a variable with this name probably contains a secret."""
    return _SECRET_NAME.search(name) is not None


def merge_environments(*environments: object) -> dict[str, str]:
    """Return the variables of all mappings; later ones override earlier ones.

    Invalid mappings, names and values are left out: `environment_problems` reports them.
    """
    return {
        name: value
        for env in environments
        if isinstance(env, Mapping)
        for name, value in env.items()
        if isinstance(name, str) and isinstance(value, str)
    }


def name_problem(name: object, variable: str) -> FlowymlError | None:
    """Return the error if a name is invalid or reserved, or None.

    Args:
        name: Name of an environment variable.
        variable: Description of the variable, for the error.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return InvalidEnvironmentError(
            what=f"{variable} has an invalid name",
            why="a name has letters, digits and underscores, and does not start with a digit",
            fix="correct the name",
        )
    if (reason := _reason_of_reservation(name)) is not None:
        return InvalidEnvironmentError(
            what=f"{variable} is reserved", why=reason, fix="remove it, or use another name"
        )
    return None


def _problems(name: Any, value: Any, owner: str) -> Iterator[FlowymlError]:
    variable = f"Environment variable {name!r} of {owner}"
    if (problem := name_problem(name, variable)) is not None:
        yield problem
        return
    if not isinstance(value, str):
        yield InvalidEnvironmentError(
            what=f"{variable} must be a string, got {type(value).__name__}",
            why="the values of environment variables are strings",
            fix=f'write a string, such as env={{"{name}": "9"}}',
        )
    elif "\0" in value or not _is_text(value):
        yield InvalidEnvironmentError(
            what=f"{variable} contains a character that no environment variable can have",
            why="a value is UTF-8 text without null characters",
            fix="remove the character, or send the value in a file",
        )
    elif (sign := sign_of_secret(name, value)) is not None:
        yield InvalidEnvironmentError(
            what=f"{variable} looks like a secret",
            why=f"{sign}; everyone with access to the store or to the job's description can read "
            "its environment",
            fix=_STORE_ELSEWHERE,
        )


def _reason_of_reservation(name: str) -> str | None:
    for prefix in _RESERVED_PREFIXES:
        if name.startswith(prefix):
            return f"names that start with {prefix} belong to flowyml-aws and to AWS"
    return _RESERVED.get(name)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def sign_of_secret(name: str, value: str) -> str | None:
    """Return the reason why a variable looks like a secret, or None."""
    for kind, pattern in _SECRET_VALUES.items():
        if pattern.search(value):
            return f"its value looks like {kind}"
    # An ARN names a secret, and is not secret itself.
    match = None if value.startswith("arn:") else _SECRET_NAME.search(name)
    return f"its name contains {match.group().upper()}" if match is not None else None
