"""Manifests of images in the emulated ECR, as SageMaker checks them."""

from __future__ import annotations

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ecr.models import ecr_backends

from flowyml_aws.aws.checks.image import ecr_image
from flowyml_aws.aws.registry import DOCKER_MANIFEST
from flowyml_aws.testing.sagemaker.errors import ValidationException

__all__ = ["check_manifest"]


def check_manifest(uri: str) -> None:
    """Check the manifest of an image, if the account's ECR has the image.

    The text is CreateModel's. Whether CreateTrainingJob accepts OCI's format is not documented.

    Raises:
        ValidationException: SageMaker does not accept the media type.
    """
    wanted = ecr_image(uri)
    if wanted is None or wanted.registry != DEFAULT_ACCOUNT_ID:
        return
    repository = ecr_backends[DEFAULT_ACCOUNT_ID][wanted.region].repositories.get(wanted.repository)
    for image in repository.images if repository is not None else ():
        is_wanted = (
            image.image_digest == wanted.digest
            if wanted.digest is not None
            else wanted.tag in image.image_tags
        )
        if is_wanted and image.image_manifest_media_type not in (None, DOCKER_MANIFEST):
            raise ValidationException(
                f"Unsupported manifest media type {image.image_manifest_media_type} for image "
                f"{uri}. Ensure that valid manifest media type is used for specified image."
            )
