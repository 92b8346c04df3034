"""Refusal of secrets that a run would write to the store with its program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flowyml_aws.code.bindings import Binding
from flowyml_aws.core.environment import sign_of_secret
from flowyml_aws.core.errors import FlowymlError, InvalidEnvironmentError

__all__ = ["secret_arguments", "secret_values"]

_READ_IN_STEP = (
    "store it in AWS Secrets Manager or the SSM Parameter Store, pass a reference with secrets=, "
    "and read the environment variable in the step"
)


def secret_arguments(arguments: Sequence[str]) -> Iterator[FlowymlError]:
    """Yield an error for each argument of the program that looks like a secret.

    Args:
        arguments: Arguments of the program (`sys.argv[1:]`).
    """
    option = ""
    for position, argument in enumerate(arguments, start=1):
        name, equals, value = argument.partition("=")
        if not argument.startswith("-"):
            name, value = option, argument
        option = "" if equals or not argument.startswith("-") else argument
        sign = sign_of_secret(name.lstrip("-").replace("-", "_"), value) if value else None
        if sign is not None:
            yield InvalidEnvironmentError(
                what=f"Argument {position} of the program looks like a secret",
                why=f"{sign}; the arguments are written to the store, where others can read them",
                fix=_READ_IN_STEP,
            )


def secret_values(carried: Mapping[Binding, Any]) -> Iterator[FlowymlError]:
    """Yield an error for each carried string that looks like a secret.

    Args:
        carried: Values that jobs get from the client, by name.
    """
    for binding, value in carried.items():
        sign = sign_of_secret(binding.name, value) if isinstance(value, str) else None
        if sign is not None:
            yield InvalidEnvironmentError(
                what=f"The steps use {binding.name!r}, which looks like a secret",
                why=f"{sign}, and its value is only in this process: it would be written to the "
                "store, where others can read it",
                fix=f"{_READ_IN_STEP}; or let each job evaluate it, with "
                f"Pipeline(evaluate=[{binding.name!r}])",
            )
