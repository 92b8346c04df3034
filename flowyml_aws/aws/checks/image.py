"""Checks of the container image of jobs: it exists, and has this machine's Python."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.checks.probe import Probe
from flowyml_aws.aws.errors import error_code, refused
from flowyml_aws.aws.registry import DOCKER_MANIFEST, Repository
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.findings import Finding

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

__all__ = ["EcrImage", "check_image", "ecr_image", "judge_python", "python_of"]

_URI = re.compile(
    r"(?P<repository>[^:@]+)(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_PYTHON = re.compile(r"(?:^|[._-])(?:py|python|cp)(3)[.]?(\d{1,2})(?![\d])")


@dataclass(frozen=True, slots=True)
class EcrImage:
    """An image in ECR."""

    registry: str
    region: str
    repository: str
    tag: str | None
    digest: str | None


def ecr_image(uri: str) -> EcrImage | None:
    """Parse the URI of an image. Return None if it is not in ECR."""
    match = _URI.fullmatch(uri)
    if match is None:
        return None
    try:
        repository = Repository.parse(match["repository"])
    except SettingsError:
        return None
    tag, digest = match["tag"], match["digest"]
    if tag is None and digest is None:
        tag = "latest"
    return EcrImage(repository.account, repository.region, repository.name, tag, digest)


def check_image(probe: Probe, uri: str, python: str) -> Sequence[Finding]:
    """Check that the image exists and has the Python version of this machine.

    Args:
        probe: Access to the account.
        uri: URI of the image.
        python: Minor version on this machine, such as `3.11`.

    Raises:
        AwsRefusedError: AWS denied the call.
    """
    image = ecr_image(uri)
    if image is None:
        return [
            Finding(
                "image-elsewhere",
                "note",
                f"Image {uri!r} is not in ECR and was not checked",
                f"it must have Python {python}, and the instances must be able to pull it",
                "jobs can pull images of public registries, and of the ECR repositories that the "
                "option image_repositories of infra/ lists",
            )
        ]
    ecr: ECRClient = probe.client("ecr", image.region)
    image_id: Any = {"imageDigest": image.digest} if image.digest else {"imageTag": image.tag}
    try:
        (detail,) = ecr.describe_images(
            registryId=image.registry, repositoryName=image.repository, imageIds=[image_id]
        )["imageDetails"]
    except ClientError as error:
        if error_code(error) in ("ImageNotFoundException", "RepositoryNotFoundException"):
            return [_missing(uri, error)]
        raise refused(error, f"look up image {uri} (ecr:DescribeImages)") from error
    except BotoCoreError as error:
        raise refused(error, f"look up image {uri} (ecr:DescribeImages)") from error
    size = detail.get("imageSizeInBytes", 0) / 1e6
    pushed = (
        f"{detail['imagePushedAt']:%Y-%m-%d}" if "imagePushedAt" in detail else "at an unknown time"
    )
    what = f"Image {image.repository}:{image.tag or image.digest} exists"
    finding = Finding("image", "ok", f"{what} (pushed {pushed}, {size:,.0f} MB)")
    python_finding = judge_python(python_of(detail.get("imageTags", ())), python)
    return [finding, python_finding, *_judge_manifest(detail.get("imageManifestMediaType"))]


def judge_python(image_python: str | None, local_python: str) -> Finding:
    """Return the finding on the Python versions of the image and of this machine."""
    if image_python is None:
        return Finding(
            "python-unknown",
            "note",
            "The Python version of the image is unknown",
            f"it must be {local_python}, as on this machine; otherwise jobs fail with an error",
            "build the image with `flowyml-aws image build`: its tags contain the version",
        )
    if image_python != local_python:
        return Finding(
            "python-differs",
            "error",
            f"The image has Python {image_python}, this machine {local_python}",
            "steps are sent as pickles, which only the same minor version reads safely",
            f"run with Python {image_python}, or rebuild the image with {local_python}",
        )
    return Finding("python", "ok", f"The image has Python {image_python}, like this machine")


def _judge_manifest(media_type: str | None) -> Sequence[Finding]:
    if media_type in (None, DOCKER_MANIFEST):
        return []
    return [
        Finding(
            "image-manifest",
            "warning",
            "SageMaker may refuse the image: its manifest is not in Docker's format",
            f"the media type of its manifest is {media_type}",
            "build it with `podman build --format docker`, or with `docker buildx build "
            "--provenance=false --output type=docker,oci-mediatypes=false`, and push it again",
        )
    ]


def python_of(tags: Iterable[str]) -> str | None:
    """Return the Python version in tags such as `py3.11-cpu`, or None if it is not unique."""
    versions = {f"{m[1]}.{m[2]}" for tag in tags for m in _PYTHON.finditer(tag)}
    return versions.pop() if len(versions) == 1 else None


def _missing(uri: str, error: ClientError) -> Finding:
    return Finding(
        "image-missing",
        "error",
        f"Image {uri} does not exist",
        str(error.response.get("Error", {}).get("Message", error)),
        "push it with `flowyml-aws image push`, or correct the setting `image`",
    )
