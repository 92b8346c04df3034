"""Builds of images in an account, with its project of CodeBuild."""

from __future__ import annotations

from collections.abc import Callable

from flowyml_aws.core import clock
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.remote_build import RemoteBuilder
from flowyml_aws.services.account import Account

__all__ = ["remote_builder"]


def remote_builder(account: Account, say: Callable[[str], None]) -> RemoteBuilder:
    """Return the builder of images of an account.

    Args:
        account: The account.
        say: Called with each line for the user.

    Raises:
        SettingsError: The account has no project, or no store.
        AwsRefusedError: There is no region, or boto3's configuration can't be read.
    """
    project = account.settings.build_project
    if project is None or account.settings.store is None:
        raise SettingsError(
            what=f"Setting `{'build_project' if project is None else 'store'}` is missing",
            why="a project of AWS CodeBuild builds the image, from a context in the store",
            fix="set up the account with the option `remote_builds` of infra/; or omit --remote, "
            "and build the image with Docker or podman",
        )
    return RemoteBuilder(
        codebuild=account.client("codebuild"),
        logs=account.client("logs"),
        store=account.store,
        project=project,
        poll_s=account.settings.poll_s,
        sleep=clock.sleep,
        say=say,
    )
