"""Images of training jobs in the emulated registry."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from flowyml_aws.aws.registry import DOCKER_MANIFEST
from flowyml_aws.testing import Emulator
from tests.testing.conftest import TrainingClient

pytestmark = pytest.mark.contract

REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/flowyml-emulator"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def push(aws: Emulator, tag: str, media_type: str) -> str:
    """Store a manifest in the account's registry. Return the image's digest."""
    response = aws.client("ecr").put_image(
        repositoryName="flowyml-emulator",
        imageManifest=f'{{"tag": "{tag}"}}',
        imageManifestMediaType=media_type,
        imageTag=tag,
        imageDigest=f"sha256:{tag:0>64}",
    )
    return str(response["image"]["imageId"]["imageDigest"])


def image(training: TrainingClient, uri: str) -> dict[str, object]:
    algorithm = training.request()["AlgorithmSpecification"]
    return {**algorithm, "TrainingImage": uri}


def test_a_manifest_of_oci_is_refused_with_its_media_type(
    aws: Emulator, training: TrainingClient
) -> None:
    digest = push(aws, "1", OCI_MANIFEST)
    for uri in (f"{REPOSITORY}:1", f"{REPOSITORY}@{digest}"):
        with pytest.raises(ClientError, match=r"Unsupported manifest media type .*oci\.image"):
            training.create(AlgorithmSpecification=image(training, uri))


def test_manifests_of_docker_and_images_of_other_registries_are_accepted(
    aws: Emulator, training: TrainingClient
) -> None:
    push(aws, "1", OCI_MANIFEST)
    push(aws, "2", DOCKER_MANIFEST)
    name = training.create(AlgorithmSpecification=image(training, f"{REPOSITORY}:2"))
    assert training.ended(name)["TrainingJobStatus"] == "Completed", training.job(name)
    for uri in (REPOSITORY.replace("1234", "9999") + ":1", "example/own:1"):
        training.create(AlgorithmSpecification=image(training, uri))
