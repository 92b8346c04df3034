"""Runs on AWS Batch in accounts whose vCPU quotas allow some instance types, or none."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends

from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.testing import Emulator
from tests.support.rigs import BackendRig

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("batch-quotas")]

G_INSTANCES = "L-DB2E81BA"
REQUEST = (
    "aws service-quotas request-service-quota-increase --service-code ec2 --quota-code "
    f"{G_INSTANCES} --desired-value 4 --region us-east-1"
)


@pytest.fixture
def aws() -> Iterator[Emulator]:
    """A new account."""
    with Emulator() as aws:
        yield aws


def test_a_gpu_without_quota_is_an_error_with_the_command_that_requests_one(
    aws: Emulator, rig: BackendRig
) -> None:
    with pytest.raises(InvalidPipelineError) as refused:
        rig.pipeline("needy").submit(backend="batch")
    report = str(refused.value)
    assert "the account's quota 'Running On-Demand G and VT instances' is 0 vCPUs" in report
    assert f"request at least 4: {REQUEST}" in report
    assert "set up the family" not in report
    assert "SubmitJob" not in {call.operation for call in aws.calls}


def test_a_gpu_with_a_quota_for_the_planned_type_runs(aws: Emulator, rig: BackendRig) -> None:
    aws.set_vcpu_quota(G_INSTANCES, 4)
    result = rig.pipeline("needy").run(backend="batch", progress=False)
    assert result.success
    (job,) = result.status.jobs
    assert job.instance_type == "g4dn.xlarge"


def test_a_job_on_cpus_runs_within_the_quota_of_a_new_account(
    aws: Emulator, rig: BackendRig
) -> None:
    assert rig.pipeline("noisy").run(backend="batch", progress=False).success


def test_unknown_quotas_are_a_note(aws: Emulator, rig: BackendRig) -> None:
    statement = {"Effect": "Deny", "Action": "servicequotas:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    # Not by a request, because a policy that is changed so takes effect after a delay.
    iam = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    iam.put_role_policy("flowyml-emulator-user", "no-quotas", document)
    run = rig.pipeline("noisy").submit(backend="batch")
    assert any("EC2's quotas are unknown" in note for note in run.plan.notes)
    assert run.wait().success
