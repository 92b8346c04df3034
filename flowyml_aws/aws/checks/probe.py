"""boto3 clients for checks: with short timeouts, and safe to create in any thread."""

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
    """Access to an account for checks.

    Args:
        session: Returns the boto3 session; may raise an AwsRefusedError.
    """

    def __init__(self, session: Callable[[], Any]) -> None:
        self._session = session
        self._lock = Lock()  # a boto3 session is not thread-safe
        self._clients: dict[str, Any] = {}

    def client(self, service: str, region: str | None = None) -> Any:
        """Return a client of a service, by its boto3 name.

        Raises:
            AwsRefusedError: No region is set, or the AWS configuration can't be read.
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
        """Return the credentials that sign calls, or None.

        Raises:
            AwsRefusedError: The profile or the credential source can't be read.
        """
        with self._lock:
            try:
                return self._session().get_credentials()
            except BotoCoreError as error:
                raise refused(error, "find credentials") from error
