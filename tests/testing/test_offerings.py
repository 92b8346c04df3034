"""DescribeInstanceTypeOfferings of the emulator, whose responses are made once."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from flowyml_aws.testing import Emulator

pytestmark = pytest.mark.contract


def offered(aws: Emulator, **request: Any) -> set[str]:
    pages = aws.client("ec2").get_paginator("describe_instance_type_offerings").paginate(**request)
    return {offer["InstanceType"] for page in pages for offer in page["InstanceTypeOfferings"]}


def test_each_request_gets_its_own_offerings_also_in_the_next_account() -> None:
    large = {"Filters": [{"Name": "instance-type", "Values": ["m5.large"]}]}
    for _ in range(2):
        with Emulator() as aws:
            for _ in range(2):
                assert {"m5.large", "c5.large"} < offered(aws, LocationType="region")
                assert offered(aws, LocationType="region", **large) == {"m5.large"}


def test_a_denied_request_gets_no_earlier_response() -> None:
    with Emulator() as aws:
        offered(aws, LocationType="region")
        job = aws.credentials("flowyml-emulator-job")
        client = boto3.client(
            "ec2",
            region_name="us-east-1",
            endpoint_url=aws.endpoint_url,
            aws_access_key_id=job["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=job["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=job["AWS_SESSION_TOKEN"],
        )
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            client.describe_instance_type_offerings(LocationType="region")
