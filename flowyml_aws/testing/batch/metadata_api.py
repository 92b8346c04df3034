"""The emulated instance metadata service (IMDSv2), one path per instance.

Jobs find it with the variable `AWS_EC2_METADATA_SERVICE_ENDPOINT`, which AWS's SDKs read as well.
The firewall rule in the user data of `infra/` refuses connections of the images' user. Here, only
Linux reports the user of a connection, and only jobs in containers, or of `Emulator(image_user=…)`,
run as another user than the emulator.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from threading import RLock
from typing import Any

from flowyml_aws.testing.batch.fleet import Fleet, Instance
from flowyml_aws.testing.sockets import owner_of

__all__ = ["METADATA_PATH", "METADATA_VARIABLE", "InstanceMetadata"]

METADATA_PATH = "/instance-metadata/"
METADATA_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"

_TTL = "HTTP_X_AWS_EC2_METADATA_TOKEN_TTL_SECONDS"
_MAX_TTL_S = 21600


class InstanceMetadata:
    """WSGI application with the metadata of each running instance.

    Args:
        fleet: Running instances.
        lock: Guards the fleet.
        blocked_user: Function that returns the id of the user that the instances of a compute
            environment, given by name, keep from their metadata; None for no user.

    Attributes:
        has_firewall: Whether instances have the firewall rule of their user data.
    """

    def __init__(
        self, fleet: Fleet, lock: RLock, blocked_user: Callable[[str], int | None]
    ) -> None:
        self.has_firewall = True
        self._fleet = fleet
        self._lock = lock
        self._blocked_user = blocked_user
        self._tokens: set[str] = set()

    def __call__(self, environ: Mapping[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request.

        Raises:
            ConnectionRefusedError: The firewall rejects the connection. The server closes it.
        """
        if self.has_firewall and self._is_rejected(environ):
            raise ConnectionRefusedError("the user data of the instance blocks this user")
        status, body = self._answer(environ)
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
        start_response(status, headers)
        return [body.encode()]

    def _is_rejected(self, environ: Mapping[str, Any]) -> bool:
        instance_id = environ["PATH_INFO"].removeprefix(METADATA_PATH).partition("/")[0]
        with self._lock:
            instance = self._fleet.get(instance_id)
            user = None if instance is None else self._blocked_user(instance.environment)
        if user is None:
            return False
        client = environ["REMOTE_ADDR"], int(environ["REMOTE_PORT"])
        server = environ["SERVER_NAME"], int(environ["SERVER_PORT"])
        return owner_of(client, server) == user

    def _answer(self, environ: Mapping[str, Any]) -> tuple[str, str]:
        instance_id, _, path = environ["PATH_INFO"].removeprefix(METADATA_PATH).partition("/")
        with self._lock:
            instance = self._fleet.get(instance_id)
            if instance is None:
                return "404 Not Found", ""
            if path == "latest/api/token" and environ["REQUEST_METHOD"] == "PUT":
                return self._new_token(environ.get(_TTL, ""))
            if environ.get("HTTP_X_AWS_EC2_METADATA_TOKEN") not in self._tokens:
                return "401 Unauthorized", ""
            value = _values(instance).get(path.removeprefix("latest/meta-data/"))
        return ("404 Not Found", "") if value is None else ("200 OK", value)

    def _new_token(self, ttl_s: str) -> tuple[str, str]:
        if not ttl_s.isdecimal() or not 1 <= int(ttl_s) <= _MAX_TTL_S:
            return "400 Bad Request", ""
        token = uuid.uuid4().hex
        self._tokens.add(token)
        return "200 OK", token


def _values(instance: Instance) -> dict[str, str]:
    """Return the metadata of an instance by path."""
    return {
        "instance-id": instance.instance_id,
        "instance-life-cycle": instance.pool.lifecycle,
        "instance-type": instance.instance_type,
        "placement/availability-zone": instance.zone,
        "placement/region": instance.zone[:-1],
    }
