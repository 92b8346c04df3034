"""Runs whose job role lacks a permission: the failure says what to add, and where."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends

from flowyml_aws.testing import Emulator
from tests.support.rigs import BackendRig, raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("denied-jobs")]

DENY_ARTIFACTS = """{
  "Version": "2012-10-17",
  "Statement": {
    "Effect": "Deny",
    "Action": "s3:PutObject",
    "Resource": "arn:aws:s3:::*/artifacts/*"
  }
}"""


@pytest.fixture
def aws() -> Iterator[Emulator]:
    with raised_emulator() as aws:
        yield aws


@pytest.mark.parametrize(("backend", "role"), [("batch", "job"), ("sagemaker", "sagemaker")])
def test_a_failed_job_names_the_denied_action_the_role_and_the_change(
    rig: BackendRig, backend: str, role: str
) -> None:
    # Not by a request, because a policy that is changed so takes effect after a delay.
    iam_backends[DEFAULT_ACCOUNT_ID]["aws"].put_role_policy(
        f"flowyml-emulator-{role}", "no-artifacts", DENY_ARTIFACTS
    )
    result = rig.pipeline("heavy").run(backend=backend, progress=False)
    assert not result.success
    reasons = " ".join(f"{job.reason} {job.result}" for job in result.status.jobs)
    assert f"role 'flowyml-emulator-{role}' is not allowed s3:PutObject on arn:aws:s3:::" in reasons
    assert "remove the Deny statement for s3:PutObject" in reasons
