"""Pulls of the account's images by the container engine of this machine."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from threading import Lock

from flowyml_aws.images.engine import Engine
from flowyml_aws.images.login import temporary_login
from flowyml_aws.testing.registry.errors import RegistryError
from flowyml_aws.testing.registry.images import PULL_FAILED, is_in_account, lookup

__all__ = ["Pulls"]

_MAX_ERROR_CHARS = 1000


class Pulls:
    """Pulls images from the emulator's address, which is not the host in their names.

    Whether a role may pull an image is checked before (`ServiceRoles`); the engine's own login may
    pull everything.

    Args:
        engine: Docker or podman.
        environment: Environment of the engine's program.
        address: Host and port of the registry.
        login: Function that returns a login: user and password, in base64.
    """

    def __init__(
        self,
        engine: Engine,
        environment: Mapping[str, str],
        address: str,
        login: Callable[[], str],
    ) -> None:
        self._engine = engine
        self._environment = dict(environment)
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
                raise OSError(f"{PULL_FAILED}{error.message}") from error
            if self._pulled.get(name) != digest:
                self._pull(name)
                self._pulled[name] = digest
        return name

    def stop(self) -> None:
        """Remove the names of the images from the engine, which no other emulator uses."""
        for name in self._pulled:
            self._run("rmi", name)

    def _pull(self, name: str) -> None:
        # Docker needs no option for a loopback address.
        options = ["--tls-verify=false"] if self._engine.name == "podman" else []
        with temporary_login(self._address, self._login(), self._environment) as variables:
            process = self._run("pull", "--quiet", *options, name, **variables)
        if process.returncode:
            raise OSError(PULL_FAILED + process.stderr.strip()[-_MAX_ERROR_CHARS:])

    def _run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._engine.program, *arguments],
            env={**self._environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
