"""Amazon ECR: whether an image is there, and how to log in to send one."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import error_code, refused
from flowyml_aws.core.errors import AwsRefusedError, SettingsError

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

__all__ = ["Login", "Repository", "StoredImage", "find_image", "log_in"]

# 123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/name
_ECR = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+"
    r"/(?P<name>[a-z0-9][a-z0-9._/-]*)"
)


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of images in ECR.

    Attributes:
        uri: Without a tag.
        account: Whose registry it is in.
    """

    uri: str
    account: str
    region: str
    name: str

    @classmethod
    def parse(cls, uri: str) -> Repository:
        """The repository that a URI names.

        Raises:
            SettingsError: It is none of ECR's.
        """
        found = _ECR.fullmatch(uri)
        if found is None:
            raise SettingsError(
                what=f"repository={uri!r} is no repository of Amazon ECR",
                why="its URI is ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME, without a tag",
                fix="correct it; for an image somewhere else, set `image` instead",
            )
        return cls(uri, found["account"], found["region"], found["name"])

    @property
    def host(self) -> str:
        """The registry's."""
        return self.uri.partition("/")[0]


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image in a repository.

    Attributes:
        digest: Of its manifest.
        size_bytes: Of its compressed layers, or None.
        pushed_at: Unix time, or None.
    """

    digest: str
    size_bytes: int | None
    pushed_at: float | None


@dataclass(frozen=True, slots=True)
class Login:
    """User and password of a registry, as `repr` does not tell them."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login(user={self.user!r})"


def find_image(ecr: ECRClient, repository: Repository, tag: str) -> StoredImage | None:
    """The image with a tag; None if the repository has none.

    Raises:
        SettingsError: There is no such repository.
        AwsRefusedError: AWS denied the call.
    """
    doing = f"look for images in {repository.uri}"
    try:
        found = ecr.describe_images(
            registryId=repository.account,
            repositoryName=repository.name,
            imageIds=[{"imageTag": tag}],
        )["imageDetails"]
    except ClientError as error:
        if error_code(error) == "ImageNotFoundException":
            return None
        if error_code(error) == "RepositoryNotFoundException":
            raise SettingsError(
                what=f"There is no repository {repository.uri}",
                why=f"account {repository.account} has no {repository.name!r} in ECR "
                f"in {repository.region}",
                fix="set the account up with infra/, or correct `repository`",
            ) from error
        raise refused(error, doing) from error
    except BotoCoreError as error:
        raise refused(error, doing) from error
    if not found:
        return None
    pushed = found[0].get("imagePushedAt")
    return StoredImage(
        digest=found[0]["imageDigest"],
        size_bytes=found[0].get("imageSizeInBytes"),
        pushed_at=pushed.timestamp() if pushed is not None else None,
    )


def log_in(ecr: ECRClient, repository: Repository) -> Login:
    """User and password for the repository's registry, for the next hours.

    Raises:
        AwsRefusedError: AWS denied the call, or its answer is none.
    """
    doing = f"log in to {repository.host}"
    try:
        told = ecr.get_authorization_token()["authorizationData"]
    except (ClientError, BotoCoreError) as error:
        raise refused(error, doing) from error
    try:
        user, _, password = base64.b64decode(told[0]["authorizationToken"]).decode().partition(":")
    except (IndexError, KeyError, binascii.Error, UnicodeDecodeError) as error:
        raise AwsRefusedError(
            what=f"Can't {doing}",
            why=f"ecr:GetAuthorizationToken answered without a token ({type(error).__name__})",
            fix="repeat; if it stays so, ask AWS",
        ) from error
    return Login(user, password)
