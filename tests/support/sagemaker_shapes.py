"""Validation of SageMaker requests by the shapes of its own SDK (`sagemaker-core`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import boto3
import pytest

__all__ = ["NO_SDK", "as_sdk_sends"]

NO_SDK = "sagemaker-core is not installed (450 MB); `make sdk` runs these tests with it"
# Maps whose keys come from the user, and are not members of a shape.
_MAPS = ("Environment", "HyperParameters")


def as_sdk_sends(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a CreateTrainingJob request as the SDK sends it for the same values.

    The SDK rejects or drops values that do not match its shapes. So a valid request is returned
    unchanged.

    Raises:
        pydantic.ValidationError: A value does not match its shape.
    """
    resources = pytest.importorskip("sagemaker.core.resources", reason=NO_SDK)
    sent: list[dict[str, Any]] = []

    class Sent(Exception):
        """The request is complete."""

    def keep(params: dict[str, Any], **event: Any) -> None:
        sent.append(dict(params))
        raise Sent

    session = boto3.Session(
        aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1"
    )
    session.events.register("provide-client-params.sagemaker.CreateTrainingJob", keep)
    with pytest.raises(Sent):
        resources.TrainingJob.create(**_snake(request), session=session, region="us-east-1")
    return sent[0]


def _snake(members: Any) -> Any:
    if isinstance(members, Mapping):
        return {
            _snake_name(name): dict(value) if name in _MAPS else _snake(value)
            for name, value in members.items()
        }
    if isinstance(members, (list, tuple)):
        return [_snake(member) for member in members]
    return members


def _snake_name(name: str) -> str:
    # `S3OutputPath` is s3_output_path, `VolumeSizeInGB` volume_size_in_gb.
    name = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name)
    return re.sub(r"(?<=[A-Z])([A-Z])(?=[a-z])", r"_\1", name).lower()
