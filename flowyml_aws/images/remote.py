"""Description of a build of an image by AWS CodeBuild: its context, its commands and its price."""

from __future__ import annotations

import io
import json
import math
import shlex
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from flowyml_aws.aws.registry import Repository
from flowyml_aws.images.engine import BUILD_VARIABLES, BUILDX_OPTIONS, PLATFORM
from flowyml_aws.images.recipe import CONTEXT_EPOCH_S, ImageRecipe

__all__ = [
    "COMPUTE_TYPE",
    "LIMIT_MIN",
    "BuildPrice",
    "archive_of",
    "build_price",
    "buildspec",
    "context_archive",
    "login_command",
]

COMPUTE_TYPE = "BUILD_GENERAL1_MEDIUM"
"""Machine of builds: 4 vCPUs and 7 GB. With 3 GB, the next smaller one, pip can run out of memory
when it installs packages such as PyTorch."""
LIMIT_MIN = 60
"""Time limit of a build in minutes."""

# https://aws.amazon.com/codebuild/pricing/, Linux in us-east-1, quoted by
# https://c3x.dev/resources/aws/aws_codebuild_project/ and others, as of May 2026. CodeBuild is not
# in the catalog. Started minutes are billed.
_USD_MINUTE = 0.01
_PRICE_REGION = "us-east-1"
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can have
_FILE, _FOLDER = 0o100644, 0o040755


@dataclass(frozen=True, slots=True)
class BuildPrice:
    """Price of builds, as in us-east-1.

    Attributes:
        usd_minute: Price of a started minute in USD.
        limit_min: Time limit of a build in minutes.
    """

    usd_minute: float
    limit_min: int

    @property
    def max_usd(self) -> float:
        """Price of a build that reaches its time limit, in USD."""
        return self.usd_minute * self.limit_min

    def of(self, duration_s: float) -> float:
        """Return the price of a build in USD."""
        return self.usd_minute * math.ceil(duration_s / 60)

    def __str__(self) -> str:
        return (
            f"${self.usd_minute:.2f} per minute, at most ${self.max_usd:.2f} "
            f"({self.limit_min} minutes), as in {_PRICE_REGION}"
        )


def build_price(limit_min: int = LIMIT_MIN) -> BuildPrice:
    """Return the price of a build with a time limit in minutes."""
    return BuildPrice(_USD_MINUTE, limit_min)


def context_archive(recipe: ImageRecipe) -> bytes:
    """Return the build context of an image as a zip file; the same bytes for the same files.

    It contains exactly the files of a build on this machine, and none of the project's own.

    Raises:
        FlowymlError: The wheel of flowyml_aws can't be built.
    """
    with tempfile.TemporaryDirectory(prefix="flowyml-aws-image-") as name:
        recipe.write_context(Path(name))
        return archive_of(Path(name))


def archive_of(folder: Path) -> bytes:
    """Return the files of a folder as a zip file; the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(folder).as_posix()
            is_folder = path.is_dir()
            entry = zipfile.ZipInfo(f"{relative}/" if is_folder else relative, _ZIP_TIME)
            entry.create_system = 3  # Unix, whose modes follow
            entry.external_attr = (_FOLDER if is_folder else _FILE) << 16
            entry.compress_type = zipfile.ZIP_STORED  # zlib's versions compress differently
            archive.writestr(entry, b"" if is_folder else path.read_bytes())
    return buffer.getvalue()


def login_command(repository: Repository) -> str:
    """Return the command of a build that logs in to the registry of a repository."""
    return (
        f"aws ecr get-login-password --region {shlex.quote(repository.region)} | "
        f"docker login --username AWS --password-stdin {shlex.quote(repository.host)}"
    )


def buildspec(recipe: ImageRecipe, repository: Repository, uri: str) -> str:
    """Return the commands of a build as JSON, which is valid YAML.

    Source: the CodeBuild User Guide, "Build specification reference for CodeBuild", and its sample
    "Publish Docker image to an Amazon ECR image repository". The options of the build are those of
    a build on this machine.

    Args:
        recipe: Contents of the image.
        repository: Repository that the image is pushed to.
        uri: Name of the image with its tag.
    """
    image = shlex.quote(uri)
    options = ["--platform", PLATFORM, "--tag", uri]
    for name, value in recipe.arguments.items():
        options += ["--build-arg", f"{name}={value}"]
    commands = [
        # A layer contains the modes and times of its files, which a download may change.
        f"find . -exec touch -d @{CONTEXT_EPOCH_S} {{}} +",
        "find . -type f -exec chmod 644 {} +",
        login_command(repository),
        "if docker buildx version 2>/dev/null | grep -q docker/buildx; "
        f"then docker buildx build {shlex.join((*BUILDX_OPTIONS, *options))} .; "
        f"else docker build {shlex.join(options)} .; fi",
        f"docker push {image}",
    ]
    return json.dumps(
        {
            "version": 0.2,
            "env": {"variables": dict(BUILD_VARIABLES)},
            "phases": {"build": {"on-failure": "ABORT", "commands": commands}},
        }
    )
