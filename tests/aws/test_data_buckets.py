"""Prefixes of S3 as inputs of runs in an account with the option `data_buckets` of infra/."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends

from flowyml_aws import S3Prefix
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.testing import Emulator
from flowyml_aws.testing.account import NAMES
from flowyml_aws.testing.account_policies import account_policy
from tests.support.rigs import BackendRig, raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("data-buckets")]

BUCKET = "team-data"
FILES = {"a.csv": "1,2", "deep/grün.csv": "3,4"}


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator() as aws:
        s3 = aws.client("s3")
        for bucket in (BUCKET, "other-data"):
            s3.create_bucket(Bucket=bucket)
        for path, text in FILES.items():
            s3.put_object(Bucket=BUCKET, Key=f"train/{path}", Body=text.encode())
        # The option. Not by requests, which take effect after a delay.
        arns = {
            "data_bucket_arns": json.dumps([f"arn:aws:s3:::{BUCKET}"]),
            "data_object_arns": json.dumps([f"arn:aws:s3:::{BUCKET}/*"]),
        }
        policy = account_policy("optional/data", {**NAMES, **arns})
        for role in ("job", "sagemaker", "user"):
            iam_backends[DEFAULT_ACCOUNT_ID]["aws"].put_role_policy(
                f"flowyml-emulator-{role}", "data", policy
            )
        yield aws


@pytest.mark.parametrize("backend", ["local", "batch", "sagemaker"])
def test_jobs_get_the_objects_as_files_which_a_service_mounts_if_it_can(
    rig: BackendRig, backend: str
) -> None:
    pipeline = rig.pipeline("data_inputs")
    inputs = {"data": S3Prefix(f"s3://{BUCKET}/train", mode="auto")}
    result = pipeline.run(backend=backend, inputs=inputs, progress=False)
    assert result.success, result.summary()
    assert result["files"] == FILES
    is_mounted = result["folder"].endswith("/input/data/data-0")
    assert is_mounted is (backend == "sagemaker")


def test_a_bucket_that_the_client_may_not_list_is_a_mistake_found_before_submission(
    rig: BackendRig,
) -> None:
    pipeline = rig.pipeline("data_inputs")
    with pytest.raises(InvalidPipelineError) as caught:
        pipeline.run(backend="batch", inputs={"data": S3Prefix("s3://other-data")}, progress=False)
    (problem,) = caught.value.problems
    assert problem.what == "Can't list s3://other-data/"
    assert "s3:ListBucket" in problem.why
    assert problem.fix.endswith('the option data_buckets = ["other-data"] of infra/ allows it')
