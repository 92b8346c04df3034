"""Docker or podman, whichever is there: a program that builds, pushes and runs images."""

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

_ASKED_S = 30  # a daemon that hangs is none
_TAIL = 4000  # characters of what a program said


@dataclass(frozen=True, slots=True)
class Engine:
    """A program with Docker's commands.

    Attributes:
        name: `docker` or `podman`.
        program: Its path.
    """

    name: str
    program: str

    def has(self, image: str) -> bool:
        """Whether an image is on this machine."""
        return self._ask("image", "inspect", image).returncode == 0

    def labels(self, image: str) -> dict[str, str]:
        """What an image on this machine says of itself.

        Raises:
            FlowymlError: There is none.
        """
        template = '{{range $k, $v := .Config.Labels}}{{$k}}={{$v}}{{"\\n"}}{{end}}'
        told = self._do("look at", image, ["image", "inspect", "--format", template, image])
        pairs = (line.partition("=") for line in told.splitlines() if line)
        return {name: value for name, _, value in pairs}

    def build(
        self, image: str, context: Path, arguments: Mapping[str, str], pip_conf: Path | None
    ) -> None:
        """Build the Dockerfile of a folder; what the program says goes to standard error.

        Args:
            image: Its name.
            context: Has the Dockerfile.
            arguments: Of the build.
            pip_conf: A secret of the build.

        Raises:
            FlowymlError: It failed.
        """
        command = [self.program, "build", "--platform", PLATFORM, "--tag", image]
        for name, value in arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        if pip_conf is not None:
            command += ["--secret", f"id=pip.conf,src={pip_conf}"]
        # One manifest and nothing around it: a tag that can't be moved is pushed once.
        quiet = {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
        done = subprocess.run(
            [*command, str(context)],
            env={**os.environ, **quiet},
            stdin=subprocess.DEVNULL,
            stdout=2,
            check=False,
        )
        if done.returncode:
            raise FlowymlError(
                what=f"The image {image} can't be built",
                why=f"`{self.name} build` ended with {done.returncode}; what it said stands above",
                fix="correct the requirements that it names, or repair its connection",
            )

    def push(self, image: str, registry: str, user: str, password: str) -> None:
        """Log in to a registry and send an image; the password goes through a pipe.

        Raises:
            FlowymlError: The registry refused.
        """
        with tempfile.TemporaryDirectory(prefix="flowyml-aws-") as folder:
            environment = dict(os.environ)
            if self.name == "podman":  # its own file of passwords stays as it is
                environment["REGISTRY_AUTH_FILE"] = str(Path(folder) / "auth.json")
            login = ["login", "--username", user, "--password-stdin", registry]
            self._do("log in for", image, login, environment, password)
            self._do("push", image, ["push", image], environment)

    def tag(self, image: str, other: str) -> None:
        """Give an image another name.

        Raises:
            FlowymlError: There is no such image.
        """
        self._do("name", image, ["tag", image, other])

    def _do(
        self,
        verb: str,
        image: str,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        given: str = "",
    ) -> str:
        done = self._ask(*arguments, environment=environment, given=given)
        if done.returncode:
            raise FlowymlError(
                what=f"Can't {verb} the image {image}",
                why=done.stderr.strip()[-_TAIL:] or f"{self.name} ended with {done.returncode}",
                fix=f"read the message above: it is {self.name}'s",
            )
        return done.stdout

    def _ask(
        self, *arguments: str, environment: Mapping[str, str] | None = None, given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *arguments],
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )


def find_engine() -> Engine:
    """The engine of this machine: Docker where its daemon answers, else podman.

    Raises:
        MissingEngineError: There is none; the error says what was found.
    """
    found = []
    for name in ("docker", "podman"):
        program = shutil.which(name)
        if program is None:
            found.append(f"{name} is not on PATH")
            continue
        problem = _problem(program, name)
        if problem is None:
            return Engine(name, program)
        found.append(f"{program} does not work: {problem}")
    raise MissingEngineError(
        what="No program that builds and runs images works on this machine",
        why="; ".join(found),
        fix="install Docker and start it, or install podman (Debian and Ubuntu: "
        "`apt-get install podman`; macOS: `brew install podman`, then `podman machine init --now`)",
    )


def _problem(program: str, name: str) -> str | None:
    """Why it can't be used, or None."""
    ask = ["version", "--format", "{{.Server.Version}}"] if name == "docker" else ["info"]
    try:
        done = subprocess.run(
            [program, *ask],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ASKED_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"it ended with {done.returncode}"
