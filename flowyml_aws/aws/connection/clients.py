"""boto3 clients, configured by the settings and by boto3's own configuration."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flowyml_aws.artifacts.parallel import CONNECTIONS

__all__ = ["AwsClients"]


@dataclass(frozen=True)
class AwsClients:
    """boto3 clients for one account and region.

    Attributes:
        configured_region: Region from the settings, or None for that of the environment.
    """

    configured_region: str | None

    @property
    def session(self) -> Any:
        """The boto3 session.

        Raises:
            AwsRefusedError: boto3's configuration can't be read.
        """
        import botocore.exceptions

        from flowyml_aws.aws.errors import refused

        try:
            return self._session
        except botocore.exceptions.BotoCoreError as error:
            raise refused(error, "read the AWS configuration") from error

    @property
    def region(self) -> str | None:
        """Region of the clients, or None if none is configured.

        Raises:
            AwsRefusedError: boto3's configuration can't be read.
        """
        name: str | None = self.session.region_name
        return name

    def client(self, service: str) -> Any:
        """Return the client of a service. It is created once, which takes longer than most calls.

        Raises:
            AwsRefusedError: There is no region, or boto3's configuration can't be read.
        """
        if service not in self._clients:
            self._clients[service] = self.new(service)
        return self._clients[service]

    def new(self, service: str, region: str | None = None) -> Any:
        """Create a client, for another region if one is named.

        Raises:
            AwsRefusedError: There is no region, or boto3's configuration can't be read.
        """
        import botocore.exceptions
        from botocore.config import Config

        from flowyml_aws.aws.answers import UnusableConfigurationError
        from flowyml_aws.aws.errors import refused

        # The client measures the rate that a service accepts, and slows down if it is throttled.
        config = Config(
            retries={"mode": "adaptive", "max_attempts": 10},
            max_pool_connections=CONNECTIONS,
            # Values are verified with the digest in their artifact ref.
            response_checksum_validation="when_required",
        )
        try:
            return self._session.client(service, region_name=region, config=config)
        except botocore.exceptions.BotoCoreError as error:
            raise refused(error, f"connect to {service}") from error
        except (ValueError, OSError) as error:
            # For example a malformed endpoint, proxy or number, or a credential process that fails.
            unusable = UnusableConfigurationError(error=error)
            raise refused(unusable, f"connect to {service}") from error

    @cached_property
    def _session(self) -> Any:
        import boto3

        from flowyml_aws.aws.connection.sessions import new_session

        # Other SDKs read AWS_REGION; boto3 itself reads only AWS_DEFAULT_REGION.
        region = self.configured_region or os.environ.get("AWS_REGION")
        return boto3.Session(region_name=region, botocore_session=new_session())

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}
