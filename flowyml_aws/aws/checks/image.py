"""The image that jobs run in: there, and with the Python of this machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.checks.probe import Probe
from flowyml_aws.aws.errors import error_code, refused
from flowyml_aws.aws.registry import Repository
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.findings import Finding

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

__all__ = ["EcrImage", "check_image", "ecr_image", "judge_python", "python_of"]

_NAMED = re.compile(
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
    """The parts of an image's URI, or None where it is not in ECR."""
    named = _NAMED.fullmatch(uri)
    if named is None:
        return None
    try:
        repository = Repository.parse(named["repository"])
    except SettingsError:
        return None
    tag, digest = named["tag"], named["digest"]
    if tag is None and digest is None:
        tag = "latest"
    return EcrImage(repository.account, repository.region, repository.name, tag, digest)


def check_image(probe: Probe, uri: str, python: str) -> Sequence[Finding]:
    """Whether the image is there, and has this Python.

    Args:
        probe: Makes clients.
        uri: The setting `image`.
        python: This machine's, such as `3.11`.

    Raises:
        AwsRefusedError: AWS denied the call.
    """
    image = ecr_image(uri)
    if image is None:
        return [
            Finding(
                "image-elsewhere",
                "note",
                f"Image {uri!r} is not in ECR and was not looked at",
                "its Python must be this machine's, and the instances must be able to pull it",
            )
        ]
    ecr: ECRClient = probe.client("ecr", image.region)
    wanted: Any = {"imageDigest": image.digest} if image.digest else {"imageTag": image.tag}
    try:
        (detail,) = ecr.describe_images(
            registryId=image.registry, repositoryName=image.repository, imageIds=[wanted]
        )["imageDetails"]
    except ClientError as error:
        if error_code(error) in ("ImageNotFoundException", "RepositoryNotFoundException"):
            return [_missing(uri, error)]
        raise refused(error, f"look at image {uri} (ecr:DescribeImages)") from error
    except BotoCoreError as error:
        raise refused(error, f"look at image {uri} (ecr:DescribeImages)") from error
    size = detail.get("imageSizeInBytes", 0) / 1e6
    pushed = f"{detail['imagePushedAt']:%Y-%m-%d}" if "imagePushedAt" in detail else "some day"
    told = f"Image {image.repository}:{image.tag or image.digest} is there"
    found = [Finding("image", "ok", f"{told} (pushed {pushed}, {size:,.0f} MB)")]
    return [*found, judge_python(python_of(detail.get("imageTags", ())), python)]


def judge_python(theirs: str | None, ours: str) -> Finding:
    """What the Pythons of the image and of this machine mean together."""
    if theirs is None:
        return Finding(
            "python-unknown",
            "note",
            "The image does not tell its Python",
            f"it must be {ours} as here; a job says so where it is not",
            "build it with `flowyml-aws image build`, whose tags tell",
        )
    if theirs != ours:
        return Finding(
            "python-differs",
            "error",
            f"The image has Python {theirs}, this machine {ours}",
            "steps travel as pickles, which only the same minor version reads safely",
            f"run with Python {theirs}, or build the image anew with {ours}",
        )
    return Finding("python", "ok", f"The image has Python {theirs}, as this machine")


def python_of(tags: Iterable[str]) -> str | None:
    """The Python that tags such as `py3.11-cpu` name; None where none or several do."""
    found = {f"{m[1]}.{m[2]}" for tag in tags for m in _PYTHON.finditer(tag)}
    return found.pop() if len(found) == 1 else None


def _missing(uri: str, error: ClientError) -> Finding:
    return Finding(
        "image-missing",
        "error",
        f"Image {uri} is not there",
        str(error.response.get("Error", {}).get("Message", error)),
        "push it with `flowyml-aws image push`, or correct the setting `image`",
    )
