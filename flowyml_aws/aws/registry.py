"""Amazon ECR: looks up images, and logs in to push them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import error_code, refused
from flowyml_aws.core.errors import AwsRefusedError, SettingsError

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

__all__ = [
    "DOCKER_MANIFEST",
    "Login",
    "Repository",
    "StoredImage",
    "find_image",
    "log_in",
]

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
"""Media type of the only manifests that SageMaker documents: one platform, Docker's format."""

# 123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/name
_ECR = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+"
    r"/(?P<name>[a-z0-9][a-z0-9._/-]*)"
)


@dataclass(frozen=True, slots=True)
class Repository:
    """An image repository in ECR.

    Attributes:
        uri: URI without a tag.
        account: Id of the account that owns the registry.
    """

    uri: str
    account: str
    region: str
    name: str

    @classmethod
    def parse(cls, uri: str) -> Repository:
        """Parse the URI of a repository.

        Raises:
            SettingsError: The URI is not one of Amazon ECR.
        """
        match = _ECR.fullmatch(uri)
        if match is None:
            raise SettingsError(
                what=f"Invalid Amazon ECR repository: repository={uri!r}",
                why="the URI must be ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME, without a tag",
                fix="correct it; to use an image from another registry, set `image` instead",
            )
        return cls(uri, match["account"], match["region"], match["name"])

    @property
    def host(self) -> str:
        """Host name of the registry."""
        return self.uri.partition("/")[0]


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image in a repository.

    Attributes:
        digest: Digest of the image manifest.
        size_bytes: Size of the compressed layers, or None.
        pushed_at: Time of the push in seconds since the epoch, or None.
        media_type: Media type of the manifest, or None if unknown.
    """

    digest: str
    size_bytes: int | None
    pushed_at: float | None
    media_type: str | None = None

    @property
    def has_docker_manifest(self) -> bool:
        """True if the manifest has Docker's format, or an unknown one."""
        return self.media_type in (None, DOCKER_MANIFEST)


@dataclass(frozen=True, slots=True)
class Login:
    """Login for a registry, valid for 12 hours. `repr` hides the token.

    Attributes:
        registry: Host of the registry, with its port if it is not the host in the names of images.
        token: `user:password` in base64.
    """

    registry: str
    token: str

    def __repr__(self) -> str:
        return f"Login(registry={self.registry!r})"


def find_image(ecr: ECRClient, repository: Repository, tag: str) -> StoredImage | None:
    """Return the image that has a tag, or None if the repository has no such image.

    Raises:
        SettingsError: The repository does not exist.
        AwsRefusedError: AWS denied the call.
    """
    action = f"look up images in {repository.uri}"
    try:
        images = ecr.describe_images(
            registryId=repository.account,
            repositoryName=repository.name,
            imageIds=[{"imageTag": tag}],
        )["imageDetails"]
    except ClientError as error:
        if error_code(error) == "ImageNotFoundException":
            return None
        if error_code(error) == "RepositoryNotFoundException":
            raise SettingsError(
                what=f"Repository {repository.uri} does not exist",
                why=f"account {repository.account} has no ECR repository {repository.name!r} "
                f"in {repository.region}",
                fix="set the account up with infra/, or correct `repository`",
            ) from error
        raise refused(error, action) from error
    except BotoCoreError as error:
        raise refused(error, action) from error
    if not images:
        return None
    pushed = images[0].get("imagePushedAt")
    return StoredImage(
        digest=images[0]["imageDigest"],
        size_bytes=images[0].get("imageSizeInBytes"),
        pushed_at=pushed.timestamp() if pushed is not None else None,
        media_type=images[0].get("imageManifestMediaType"),
    )


def log_in(ecr: ECRClient, repository: Repository) -> Login:
    """Return a login for the repository's registry.

    The response's `proxyEndpoint` is "the registry URL to use" (ECR API Reference,
    AuthorizationData). On AWS, it is the caller's own registry, which is not always the
    repository's. Only an emulator has a plain HTTP endpoint.

    Raises:
        AwsRefusedError: AWS denied the call, or returned no token.
    """
    action = f"log in to {repository.host}"
    try:
        tokens = ecr.get_authorization_token()["authorizationData"]
    except (ClientError, BotoCoreError) as error:
        raise refused(error, action) from error
    if not tokens or not tokens[0].get("authorizationToken"):
        raise AwsRefusedError(
            what=f"Can't {action}",
            why="ecr:GetAuthorizationToken returned no token",
            fix="try again; if it keeps failing, contact AWS Support",
        )
    scheme, _, endpoint = tokens[0].get("proxyEndpoint", "").partition("://")
    registry = endpoint if scheme == "http" else repository.host
    return Login(registry, tokens[0]["authorizationToken"])
