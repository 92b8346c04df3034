"""Container engines that build, push and run images: Docker or podman."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from flowyml_aws.core.errors import FlowymlError, MissingEngineError
from flowyml_aws.images.echo import echoed
from flowyml_aws.images.login import temporary_login
from flowyml_aws.runtime.certificates import UNTRUSTED_FIX, is_untrusted

__all__ = ["BUILDX_OPTIONS", "BUILD_VARIABLES", "PLATFORM", "Engine", "find_engine"]

PLATFORM = "linux/amd64"

# SageMaker documents Docker's format of manifests only; podman, and Docker with the containerd
# store, write OCI's by default. Docker without buildx writes its own format.
BUILDX_OPTIONS = ("--provenance=false", "--output", "type=docker,oci-mediatypes=false")
# The first: no attestations, because an immutable tag can be pushed only once.
BUILD_VARIABLES = {
    "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
    "DOCKER_BUILDKIT": "1",
    "BUILDAH_FORMAT": "docker",  # of podman, also under the name `docker`
}
_BUILD_ARGUMENT = "FLOWYML_BUILD"  # the value of the label in the Dockerfiles
_STAGE_LABEL = "label=flowyml-aws.stage"
_ABANDONED = "until=24h"
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

    def find_tag(self, tag: str) -> str | None:
        """Return the name of an image on this machine that has a tag, or None."""
        listed = self._call("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").stdout
        return next((name for name in listed.splitlines() if name.endswith(f":{tag}")), None)

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
        self,
        image: str,
        context: Path,
        arguments: Mapping[str, str],
        *,
        pip_conf: Path | None = None,
        can_pull_base: bool = False,
    ) -> None:
        """Build the Dockerfile of a folder, with a manifest in Docker's format.

        The engine's output goes to standard error. The images of the stage that installs packages
        are removed at the end, whether the build succeeds or not.

        Args:
            image: Name of the image.
            context: Folder that contains the Dockerfile.
            arguments: Build arguments.
            pip_conf: Path of a pip.conf that is passed to the build as a secret, or None.
            can_pull_base: Whether newer base images are pulled from their registries.

        Raises:
            FlowymlError: The build failed.
        """
        build = uuid4().hex
        command = [*self._build_command(), "--platform", PLATFORM, "--tag", image]
        for name, value in {**arguments, _BUILD_ARGUMENT: build}.items():
            command += ["--build-arg", f"{name}={value}"]
        if pip_conf is not None:
            command += ["--secret", f"id=pip.conf,src={pip_conf}"]
        if can_pull_base:
            # podman uses the local image if the registry does not respond.
            command.append("--pull=newer" if self.name == "podman" else "--pull")
        try:
            code, output = echoed([*command, str(context)], {**os.environ, **BUILD_VARIABLES})
        finally:
            self._remove_stages(build)
        if code:
            raise FlowymlError(
                what=f"Can't build the image {image}",
                why=f"`{self.name} build` exited with code {code}: see above",
                fix=UNTRUSTED_FIX
                if is_untrusted(output)
                else "correct the requirements that it names, or check the network connection",
            )

    def push(self, image: str, registry: str, token: str) -> None:
        """Push an image with a login that only this call uses.

        Args:
            image: Name of the image.
            registry: Host of the registry. If it is not the host in the name, the image is pushed
                below it, without TLS: to an emulator on this machine.
            token: `user:password` of the registry, in base64.

        Raises:
            FlowymlError: The registry refused the image.
        """
        target = image if image.startswith(f"{registry}/") else f"{registry}/{image}"
        # An image that an older version has built may be in OCI's format.
        options = ["--format", "v2s2"] if self.name == "podman" else []
        if target != image:
            self.tag(image, target)
            # Docker needs no option for a loopback address.
            options += ["--tls-verify=false"] if self.name == "podman" else []
        try:
            with temporary_login(registry, token, os.environ) as variables:
                environment = {**os.environ, **variables}
                process = self._call("push", *options, target, environment=environment)
        finally:
            if target != image:
                self._call("rmi", target)
        if process.returncode:
            raise FlowymlError(
                what=f"Can't push the image {image}",
                why=self._message(process),
                fix=f"if {registry} denied the push, let your user or role push to this repository "
                "(the user policy that infra/ creates does); otherwise correct the connection of "
                f"{self.name} to {registry}",
            )

    def tag(self, image: str, other: str) -> None:
        """Give an image another name.

        Raises:
            FlowymlError: The image does not exist.
        """
        self._run("tag", image, ["tag", image, other])

    def _remove_stages(self, build: str) -> None:
        """Remove the images of the first stage of a build, and those of builds that were killed."""
        for filters in ((f"{_STAGE_LABEL}={build}",), (_STAGE_LABEL, _ABANDONED)):
            options = [option for value in filters for option in ("--filter", value)]
            self._call("image", "prune", "--force", *options)

    def _build_command(self) -> list[str]:
        # podman has a command `buildx`, too, without these options.
        if "docker/buildx" in self._call("buildx", "version").stdout:
            return [self.program, "buildx", "build", *BUILDX_OPTIONS]
        return [self.program, "build"]

    def _run(self, verb: str, image: str, arguments: Sequence[str]) -> str:
        process = self._call(*arguments)
        if process.returncode:
            raise FlowymlError(
                what=f"Can't {verb} the image {image}",
                why=self._message(process),
                fix=f"`{self.name} image ls` lists the images of this machine; `flowyml-aws image "
                "build` builds the project's",
            )
        return process.stdout

    def _message(self, process: subprocess.CompletedProcess[str]) -> str:
        """Return the reason that the engine printed for its failure."""
        message = process.stderr.strip()[-_TAIL:]
        return message or f"{self.name} exited with code {process.returncode}"

    def _call(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
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
