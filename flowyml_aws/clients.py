"""Clients of AWS's services, as the settings and boto3's own configuration say."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from flowyml_aws.artifacts.parallel import CONNECTIONS

__all__ = ["AwsClients"]


@dataclass(frozen=True)
class AwsClients:
    """boto3's clients of one account and region.

    Attributes:
        wanted_region: The setting; None for what the environment says.
    """

    wanted_region: str | None

    @property
    def session(self) -> Any:
        """boto3's session.

        Raises:
            AwsRefusedError: boto3's configuration can't be read.
        """
        import botocore.exceptions

        from flowyml_aws.aws.errors import refused

        try:
            return self._session
        except botocore.exceptions.BotoCoreError as error:
            raise refused(error, "read the configuration of AWS") from error

    @property
    def region(self) -> str | None:
        """The region that clients are for, or None where nothing says it.

        Raises:
            AwsRefusedError: boto3's configuration can't be read.
        """
        name: str | None = self.session.region_name
        return name

    def client(self, service: str) -> Any:
        """A service's client, made once: that takes longer than most calls.

        Raises:
            AwsRefusedError: There is no region, or boto3's configuration can't be read.
        """
        if service not in self._made:
            self._made[service] = self.new(service)
        return self._made[service]

    def new(self, service: str, region: str | None = None) -> Any:
        """A new client, in another region where one is named.

        Raises:
            AwsRefusedError: There is no region, or boto3's configuration can't be read.
        """
        import botocore.exceptions
        from botocore.config import Config

        from flowyml_aws.aws.errors import refused

        # Throttled calls back off by the client's own measure of the service's rate.
        config = Config(
            retries={"mode": "adaptive", "max_attempts": 10},
            max_pool_connections=CONNECTIONS,
            # What is read is verified by the digest that the run keeps.
            response_checksum_validation="when_required",
        )
        try:
            return self._session.client(service, region_name=region, config=config)
        except botocore.exceptions.BotoCoreError as error:
            raise refused(error, f"connect to {service}") from error

    @cached_property
    def _session(self) -> Any:
        import boto3
        import botocore.session

        core = botocore.session.get_session()
        core.register_component("data_loader", _models(core.get_config_variable("data_path")))
        # As the other SDKs do: boto3 itself reads only AWS_DEFAULT_REGION.
        region = self.wanted_region or os.environ.get("AWS_REGION")
        return boto3.Session(region_name=region, botocore_session=core)

    @cached_property
    def _made(self) -> dict[str, Any]:
        return {}


@cache
def _models(data_path: str | None) -> Any:
    """Return botocore's models of the services, which each session would read by itself.

    Reading them takes most of the time in which a client is made.
    """
    from botocore.loaders import create_loader

    return create_loader(data_path)
