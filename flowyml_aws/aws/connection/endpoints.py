"""Distinction between AWS's endpoints and those of emulators and other services."""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import urlsplit

from botocore.loaders import create_loader

from flowyml_aws.core.errors import SettingsError

__all__ = ["is_aws", "require_aws_figures"]


def is_aws(client: Any) -> bool:
    """Return whether a boto3 client calls AWS, and not an emulator or another service."""
    host = urlsplit(client.meta.endpoint_url).hostname
    return f".{host}".endswith(_domains())


def require_aws_figures(*clients: Any) -> None:
    """Check that the figures of a catalog would come from AWS.

    Args:
        clients: boto3 clients that read the figures.

    Raises:
        SettingsError: The endpoint of a client is not in a domain of AWS.
    """
    for client in clients:
        if not is_aws(client):
            raise SettingsError(
                what=f"The catalog can't be refreshed from {client.meta.endpoint_url}",
                why="this is not an endpoint of AWS, and all projects on this machine plan with "
                "the prices of the refreshed catalog",
                fix="unset AWS_ENDPOINT_URL (or `endpoint_url` of the AWS profile) to refresh it "
                "from AWS; plans for an emulator need no refresh",
            )


@cache
def _domains() -> tuple[str, ...]:
    """Return the domains of all partitions of AWS, each with a leading dot."""
    partitions = create_loader().load_data("partitions")["partitions"]
    names = (
        domain
        for partition in partitions
        for key, domain in partition["outputs"].items()
        if key.lower().endswith("dnssuffix")
    )
    return tuple(sorted({f".{name}" for name in names}))
