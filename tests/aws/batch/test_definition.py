from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.aws.batch.definition import JobImage, ensure_on_fargate, shared_memory_mib


@pytest.mark.parametrize(
    ("memory_mib", "shared_mib"),
    [(1, 64), (128, 64), (256, 128), (2048, 1024), (3000, 1024), (61440, 16384), (65536, 32768)],
)
def test_shared_memory_is_up_to_half_the_jobs_memory(memory_mib: int, shared_mib: int) -> None:
    assert shared_memory_mib(memory_mib) == shared_mib


@given(st.integers(1, 4 * 1024 * 1024))
def test_sizes_of_shared_memory_are_powers_of_two(memory_mib: int) -> None:
    shared_mib = shared_memory_mib(memory_mib)
    assert shared_mib.bit_count() == 1
    assert 64 <= shared_mib <= max(64, memory_mib // 2) < 4 * max(64, shared_mib)


def test_the_driver_s_fargate_definition_meets_fargate_s_requirements() -> None:
    batch: Any = boto3.Session(
        aws_access_key_id="testing", aws_secret_access_key="testing", region_name="eu-west-3"
    ).client("batch")
    image = JobImage("image", "job-role", "execution-role", "/logs")
    registered: dict[str, Any] = {}
    with Stubber(batch) as answers:
        answers.add_response("describe_job_definitions", {"jobDefinitions": []})
        answers.add_response(
            "register_job_definition",
            {"jobDefinitionName": "d", "jobDefinitionArn": "arn", "revision": 1},
        )
        batch.meta.events.register(
            "provide-client-params.batch.RegisterJobDefinition",
            lambda params, **_: registered.update(params),
        )
        ensure_on_fargate(batch, image)
    properties = registered["containerProperties"]
    assert registered["platformCapabilities"] == ["FARGATE"]
    assert properties["linuxParameters"] == {"initProcessEnabled": True}
    assert properties["executionRoleArn"] == "execution-role"
    assert properties["networkConfiguration"] == {"assignPublicIp": "ENABLED"}
