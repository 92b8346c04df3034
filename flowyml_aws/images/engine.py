"""Container engines that build, push and run images: Docker or podman."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flowyml_aws.core.errors import FlowymlError, MissingEngineError

__all__ = ["PLATFORM", "Engine", "find_engine"]

PLATFORM = "linux/amd64"

# SageMaker documents Docker's format of manifests only; podman, and Docker with the containerd
# store, write OCI's by default. Docker without buildx writes its own format.
_BUILDX_OPTIONS = ("--provenance=false", "--output", "type=docker,oci-mediatypes=false")
# The first: no attestations, because an immutable tag can be pushed only once.
_BUILD_VARIABLES = {
    "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
    "DOCKER_BUILDKIT": "1",
    "BUILDAH_FORMAT": "docker",  # of podman, also under the name `docker`
}
_PROBE_TIMEOUT_S = 30  # a daemon that hangs is not usable
_TAIL = 4000  # characters of the error output that are shown


@dataclass(frozen=True, slots=True)
class Engine:
    """A container engine with Docker's command line.

    Attributes:
        name: `docker` or `podman`.
        program: Path of the program.
    """

    name: str
    program: str

    def has(self, image: str) -> bool:
        """Return whether an image exists on this machine."""
        return self._call("image", "inspect", image).returncode == 0

    def labels(self, image: str) -> dict[str, str]:
        """Return the labels of an image on this machine.

        Raises:
            FlowymlError: The image does not exist.
        """
        template = '{{range $k, $v := .Config.Labels}}{{$k}}={{$v}}{{"\\n"}}{{end}}'
        output = self._run("inspect", image, ["image", "inspect", "--format", template, image])
        pairs = (line.partition("=") for line in output.splitlines() if line)
        return {name: value for name, _, value in pairs}

    def build(
        self, image: str, context: Path, arguments: Mapping[str, str], pip_conf: Path | None
    ) -> None:
        """Build the Dockerfile of a folder, with a manifest in Docker's format.

        The engine's output goes to standard error.

        Args:
            image: Name of the image.
            context: Folder that contains the Dockerfile.
            arguments: Build arguments.
            pip_conf: Path of a pip.conf that is passed to the build as a secret, or None.

        Raises:
            FlowymlError: The build failed.
        """
        command = [*self._build_command(), "--platform", PLATFORM, "--tag", image]
        for name, value in arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        if pip_conf is not None:
            command += ["--secret", f"id=pip.conf,src={pip_conf}"]
        process = subprocess.run(
            [*command, str(context)],
            env={**os.environ, **_BUILD_VARIABLES},
            stdin=subprocess.DEVNULL,
            stdout=2,
            check=False,
        )
        if process.returncode:
            raise FlowymlError(
                what=f"Can't build the image {image}",
                why=f"`{self.name} build` exited with code {process.returncode}: see above",
                fix="correct the requirements that it names, or check the network connection",
            )

    def push(self, image: str, registry: str, user: str, password: str) -> None:
        """Log in to a registry and push an image. The password is passed through a pipe.

        Raises:
            FlowymlError: The registry refused the login or the image.
        """
        with tempfile.TemporaryDirectory(prefix="flowyml-aws-") as folder:
            environment = dict(os.environ)
            if self.name == "podman":  # keep the user's own credentials unchanged
                environment["REGISTRY_AUTH_FILE"] = str(Path(folder) / "auth.json")
            login = ["login", "--username", user, "--password-stdin", registry]
            self._run("log in to push", image, login, environment, password)
            # An image that an older version has built may be in OCI's format.
            options = ["--format", "v2s2"] if self.name == "podman" else []
            self._run("push", image, ["push", *options, image], environment)

    def tag(self, image: str, other: str) -> None:
        """Give an image another name.

        Raises:
            FlowymlError: The image does not exist.
        """
        self._run("tag", image, ["tag", image, other])

    def _build_command(self) -> list[str]:
        # podman has a command `buildx`, too, without these options.
        if "docker/buildx" in self._call("buildx", "version").stdout:
            return [self.program, "buildx", "build", *_BUILDX_OPTIONS]
        return [self.program, "build"]

    def _run(
        self,
        verb: str,
        image: str,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        stdin: str = "",
    ) -> str:
        process = self._call(*arguments, environment=environment, stdin=stdin)
        if process.returncode:
            raise FlowymlError(
                what=f"Can't {verb} the image {image}",
                why=process.stderr.strip()[-_TAIL:]
                or f"{self.name} exited with code {process.returncode}",
                fix=f"follow the message above, which {self.name} printed",
            )
        return process.stdout

    def _call(
        self, *arguments: str, environment: Mapping[str, str] | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )


def find_engine() -> Engine:
    """Return this machine's engine: Docker if its daemon responds, otherwise podman.

    Raises:
        MissingEngineError: No engine works; the error lists the problem of each.
    """
    problems = []
    for name in ("docker", "podman"):
        program = shutil.which(name)
        if program is None:
            problems.append(f"{name} is not on PATH")
            continue
        problem = _problem(program, name)
        if problem is None:
            return Engine(name, program)
        problems.append(f"{program} does not work: {problem}")
    raise MissingEngineError(
        what="No container engine works on this machine",
        why="; ".join(problems),
        fix="install Docker and start it, or install podman (Debian and Ubuntu: "
        "`apt-get install podman`; macOS: `brew install podman`, then `podman machine init --now`)",
    )


def _problem(program: str, name: str) -> str | None:
    """Return the reason why an engine can't be used, or None."""
    command = ["version", "--format", "{{.Server.Version}}"] if name == "docker" else ["info"]
    try:
        process = subprocess.run(
            [program, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if process.returncode == 0:
        return None
    lines = process.stderr.strip().splitlines()
    return lines[-1] if lines else f"it exited with code {process.returncode}"
