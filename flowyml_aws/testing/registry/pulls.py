"""Pulls of the account's images by the container engine of this machine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock

from flowyml_aws.images.engine import Engine
from flowyml_aws.testing.registry.errors import RegistryError
from flowyml_aws.testing.registry.images import is_in_account, lookup

__all__ = ["Pulls"]

_MAX_ERROR_CHARS = 1000


class Pulls:
    """Pulls images from the emulator's address, which is not the host in their names.

    Whether a role may pull an image is checked before (`ServiceRoles`); the engine's own login may
    pull everything.

    Args:
        engine: Docker or podman.
        environment: Environment of the engine's program.
        folder: New folder for the engine's login.
        address: Host and port of the registry.
        login: Function that returns a login: user and password, in base64.
    """

    def __init__(
        self,
        engine: Engine,
        environment: Mapping[str, str],
        folder: Path,
        address: str,
        login: Callable[[], str],
    ) -> None:
        self._engine = engine
        self._environment = dict(environment)
        self._folder = folder
        self._address = address
        self._login = login
        self._lock = Lock()
        self._pulled: dict[str, str] = {}  # digests by the name in the engine

    def pull(self, uri: str) -> str:
        """Pull an image if it is in the account, and return its name in the engine.

        Raises:
            OSError: The pull failed.
        """
        if not is_in_account(uri):
            return uri
        name = f"{self._address}/{uri}"
        with self._lock:
            try:
                digest = lookup(uri).image_digest
            except RegistryError as error:  # deleted since the job was checked
                raise _failure(error.message) from error
            if self._pulled.get(name) != digest:
                self._pull(name)
                self._pulled[name] = digest
        return name

    def stop(self) -> None:
        """Remove the names of the images from the engine, which no other emulator uses."""
        for name in self._pulled:
            self._run("rmi", name)

    def _pull(self, name: str) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        # Both engines read this format.
        file = self._folder / "config.json"
        file.write_text(json.dumps({"auths": {self._address: {"auth": self._login()}}}))
        if self._engine.name == "podman":
            options = ["--tls-verify=false", f"--authfile={file}"]
            process = self._run("pull", "--quiet", *options, name)
        else:  # Docker needs no TLS on loopback addresses.
            process = self._run("--config", str(self._folder), "pull", "--quiet", name)
        if process.returncode:
            raise _failure(process.stderr.strip()[-_MAX_ERROR_CHARS:])

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._engine.program, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )


def _failure(reason: str) -> OSError:
    return OSError(f"CannotPullContainerError: Error response from daemon: {reason}")
