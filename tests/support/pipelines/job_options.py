"""A step with options of its job, and one with an own job definition."""

from __future__ import annotations

import os

from flowyml_aws import EFS, Pipeline, step


@step(
    outputs=["identity"],
    image=os.environ.get("IMAGE_OF_STEP"),
    queue="flowyml-emulator-shared",
    priority=5,
    role="arn:aws:iam::123456789012:role/training",
    shared_memory="256Mi",
    ulimits={"nofile": (1024, 65536)},
    mounts=[EFS("fs-0123456789abcdef0", at="/mnt/models", read_only=True)],
)
def train() -> str:
    import boto3

    return str(boto3.client("sts").get_caller_identity()["Arn"])


@step(outputs=["number"], job_definition="flowyml-aws-team")
def report() -> int:
    return 1


pipeline = Pipeline("job_options").add_steps([train, report])
