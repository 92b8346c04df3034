"""Images in the emulated ECR, as SageMaker checks them."""

from __future__ import annotations

from flowyml_aws.aws.checks.image import ecr_image
from flowyml_aws.aws.registry import DOCKER_MANIFEST
from flowyml_aws.testing.registry.errors import RegistryError
from flowyml_aws.testing.registry.images import is_in_account, lookup
from flowyml_aws.testing.sagemaker.errors import ValidationException

__all__ = ["check_image"]

_PULL = "ecr:BatchCheckLayerAvailability, ecr:BatchGetImage, ecr:GetDownloadUrlForLayer"


def check_image(uri: str, role: str) -> None:
    """Check the image of a training job, if it is in the account's ECR.

    The messages for missing images are CreateTrainingJob's, as users report them (issues 2450 and
    2534 of aws/amazon-sagemaker-examples). The message for the media type is CreateModel's: whether
    CreateTrainingJob accepts OCI's format is not documented.

    Args:
        uri: URI of the image.
        role: ARN of the job's role.

    Raises:
        ValidationException: The image does not exist, or SageMaker does not accept its media type.
    """
    if not is_in_account(uri):
        return
    try:
        image = lookup(uri)
    except RegistryError as error:
        wanted = ecr_image(uri)
        assert wanted is not None
        if error.code == "NAME_UNKNOWN":
            missing = f"repository: {wanted.repository} in registry ID: {wanted.registry}"
            kind = "repository"
        else:
            tag, digest = wanted.tag or "null", wanted.digest or "null"
            missing = f"the requested image: {uri} with tag: {tag} and digest: {digest}."
            kind = "image"
        raise ValidationException(
            f"Cannot find {missing} Please check if your ECR {kind} exists and role {role} has "
            f"proper pull permissions for SageMaker: {_PULL}"
        ) from error
    if image.image_manifest_media_type not in (None, DOCKER_MANIFEST):
        raise ValidationException(
            f"Unsupported manifest media type {image.image_manifest_media_type} for image "
            f"{uri}. Ensure that valid manifest media type is used for specified image."
        )
