"""Authorization tokens: the logins that ECR gives to Docker and podman."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable

from flowyml_aws.testing.iam.principals import Caller
from flowyml_aws.testing.registry.errors import RegistryError, denied, unauthorized

__all__ = ["Tokens"]

# ECR API Reference, GetAuthorizationToken: "The authorization token is valid for 12 hours."
_VALID_S = 12 * 3600
_USER = "AWS"


class Tokens:
    """The tokens of an account. A token has the permissions of the caller it was issued to.

    Args:
        find: Function that returns the owner of an access key, or None.
        now: Function that returns the account's time.
    """

    def __init__(self, find: Callable[[str], Caller | None], now: Callable[[], float]) -> None:
        self._find = find
        self._now = now
        self._issued: dict[str, tuple[str, float]] = {}

    def issue(self, access_key: str) -> tuple[str, float]:
        """Return a login, encoded as ECR does, and the time at which it expires.

        Args:
            access_key: Access key of the caller.
        """
        password, expires = secrets.token_urlsafe(48), self._now() + _VALID_S
        self._issued[password] = access_key, expires
        return base64.b64encode(f"{_USER}:{password}".encode()).decode(), expires

    def caller(self, authorization: str) -> Caller:
        """Return the caller whose token is in an Authorization header.

        Raises:
            RegistryError: The token is missing, unknown or expired.
        """
        scheme, _, encoded = authorization.partition(" ")
        if scheme != "Basic":
            raise unauthorized()
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user = password = ""
        access_key, expires = self._issued.get(password, ("", 0.0))
        caller = self._find(access_key) if user == _USER and access_key else None
        if caller is None:
            # `docker login` with a wrong password reports "failed with status: 400 Bad Request".
            raise RegistryError("400 Bad Request", "DENIED", "Your Authorization Token is invalid.")
        if self._now() >= expires:
            raise denied("Your authorization token has expired. Reauthenticate and try again.")
        return caller
