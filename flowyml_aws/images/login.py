"""Logins of container engines that do not touch the user's own configuration."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flowyml_aws.core.written import parse_json

__all__ = ["temporary_login"]

# `docker login` stores a password with these; Amazon's helper `ecr-login` refuses to store any.
_CREDENTIALS = ("auths", "credsStore", "credHelpers")
# Docker looks for the context in use, and for plugins, next to its configuration.
_FOLDERS = ("contexts", "cli-plugins")


@contextmanager
def temporary_login(
    registry: str, token: str, environment: Mapping[str, str]
) -> Iterator[dict[str, str]]:
    """Yield environment variables with which Docker and podman are logged in to one registry.

    They name a configuration that only this user can read, and that is removed at the end. It is
    the user's, without the other credentials and credential helpers.

    Args:
        registry: Host name of the registry.
        token: `user:password` of the registry, in base64.
        environment: Environment variables, which may name the user's configuration.
    """
    own = Path(environment.get("DOCKER_CONFIG") or Path.home() / ".docker")
    configuration = _settings_of(own / "config.json")
    configuration["auths"] = {registry: {"auth": token}}
    with tempfile.TemporaryDirectory(prefix="flowyml-aws-login-") as name:
        folder = Path(name)
        for part in _FOLDERS:
            if (own / part).is_dir():
                (folder / part).symlink_to((own / part).absolute(), target_is_directory=True)
        file = folder / "config.json"
        file.touch(0o600, exist_ok=False)
        file.write_text(json.dumps(configuration), "utf-8")
        # The second: podman, also under the name `docker`.
        yield {"DOCKER_CONFIG": name, "REGISTRY_AUTH_FILE": str(file)}


def _settings_of(file: Path) -> dict[str, Any]:
    """Return a configuration of Docker without credentials; empty if it can't be read."""
    try:
        configuration = parse_json(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(configuration, dict):
        return {}
    return {name: value for name, value in configuration.items() if name not in _CREDENTIALS}
