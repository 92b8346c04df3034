"""The programs `aws` and `docker` of a build, for the services of the emulator.

A build runs on this machine and not in CodeBuild's container. `docker` is this machine's Docker or
podman, and pushes to the emulated registry; `aws` has only the operation that logs in to it. The
image does not stay on this machine, unless it was there before.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.images.engine import Engine

__all__ = ["ENGINE", "main", "write_programs"]

ENGINE = "FLOWYML_EMULATED_ENGINE"
"""Variable with the name and the path of the engine, separated by a colon."""

_STAGE = "label=flowyml-aws.stage=by-hand"
_KEPT = ".kept"
_SCRIPT = '#!/bin/sh\nexec "{python}" -m {module} {name} "$@"\n'


def write_programs(folder: Path) -> None:
    """Write the programs into an empty folder."""
    for name in ("aws", "docker"):
        program = folder / name
        program.write_text(
            _SCRIPT.format(python=sys.executable, module=__name__, name=name), "utf-8"
        )
        program.chmod(0o755)


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a program, and return its exit code.

    Args:
        arguments: `aws` or `docker`, and its arguments.
        environment: Environment of the build.
    """
    program, *rest = arguments
    try:
        if program == "aws":
            return _aws(rest)
        name, _, path = environment[ENGINE].partition(":")
        return _docker(Engine(name, path), rest)
    except FlowymlError as error:
        print(error, file=sys.stderr)
        return 1


def _aws(arguments: Sequence[str]) -> int:
    if arguments[:2] != ["ecr", "get-login-password"]:
        print(f"not emulated: aws {' '.join(arguments)}", file=sys.stderr)
        return 2
    import boto3

    (token,) = boto3.client("ecr").get_authorization_token()["authorizationData"]
    print(base64.b64decode(token["authorizationToken"]).decode().partition(":")[2])
    return 0


def _docker(engine: Engine, arguments: Sequence[str]) -> int:
    if arguments[0] == "login":
        if not sys.stdin.read().strip():
            print("Error: Cannot perform an interactive login", file=sys.stderr)
            return 1
        print("Login Succeeded")
        return 0
    if arguments[0] == "push":
        # Most calls need no service, whose client takes longest to import.
        import boto3

        from flowyml_aws.aws.registry import Repository, log_in

        image = arguments[1]
        login = log_in(boto3.client("ecr"), Repository.parse(image.rpartition(":")[0]))
        engine.push(image, login.registry, login.token)
        if not Path(_KEPT).exists():
            _run(engine, "rmi", image)
        return 0
    is_build = "build" in arguments[:2]
    if is_build and engine.has(arguments[arguments.index("--tag") + 1]):
        Path(_KEPT).touch()
    code = _run(engine, *arguments)
    if is_build:
        _run(engine, "image", "prune", "--force", "--filter", _STAGE)
    return code


def _run(engine: Engine, *arguments: str) -> int:
    return subprocess.run([engine.program, *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
