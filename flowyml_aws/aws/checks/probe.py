"""Clients for looks at an account: they give up soon, and may be made in any thread."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError

from flowyml_aws.aws.errors import refused

__all__ = ["Probe"]

_CONFIG = Config(
    connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3}
)


class Probe:
    """An account, as boto3 reaches it.

    Args:
        session: Gives boto3's session; may fail with an AwsRefusedError.
    """

    def __init__(self, session: Callable[[], Any]) -> None:
        self._session = session
        self._lock = Lock()  # a session of boto3 belongs to one thread at a time
        self._clients: dict[str, Any] = {}

    def client(self, service: str, region: str | None = None) -> Any:
        """A client of a service, by boto3's name of it.

        Raises:
            AwsRefusedError: There is no region, or boto3's configuration can't be read.
        """
        key = f"{service} {region}"
        with self._lock:
            if key not in self._clients:
                try:
                    self._clients[key] = self._session().client(
                        service, region_name=region, config=_CONFIG
                    )
                except BotoCoreError as error:
                    raise refused(error, f"connect to {service}") from error
            return self._clients[key]

    def credentials(self) -> Any:
        """What botocore signs calls with, or None.

        Raises:
            AwsRefusedError: The profile or the source of the credentials can't be read.
        """
        with self._lock:
            try:
                return self._session().get_credentials()
            except BotoCoreError as error:
                raise refused(error, "find credentials") from error
