"""Runs in accounts whose quotas allow some instance types of training jobs, or none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from flowyml_aws import Run
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.submission.backend import JobState
from flowyml_aws.testing import Emulator
from tests.support.boto import needs_preferences
from tests.support.rigs import BackendRig, eventually

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("training-quotas")]

REQUEST = "aws service-quotas request-service-quota-increase --service-code sagemaker"


@pytest.fixture
def aws() -> Iterator[Emulator]:
    """A new account."""
    with Emulator() as aws:
        yield aws


def types_of(rig: BackendRig, pipeline: str) -> list[str]:
    (job, *_) = rig.pipeline(pipeline).plan(backend="sagemaker").jobs
    return [offer.instance_type for offer in job.offers]


def close(aws: Emulator, types: Sequence[str]) -> None:
    for name in types:
        aws.set_quota(name, 0)


@pytest.fixture
def waiting(rig: BackendRig) -> Run:
    """A run whose first job waits for `release`; its second job has the same types."""
    run = rig.pipeline("waiting").submit(backend="sagemaker")
    eventually(lambda: "wait" in rig.ran(), "the first job waiting")
    return run


def release(rig: BackendRig) -> None:
    Path(f"{rig.trace}.go").touch()


def test_a_gpu_without_quota_is_an_error_with_the_command_that_requests_one(
    aws: Emulator, rig: BackendRig
) -> None:
    with pytest.raises(InvalidPipelineError) as refused:
        rig.pipeline("needy").submit(backend="sagemaker")
    report = str(refused.value)
    assert "the account's quota 'ml.g4dn.xlarge for training job usage' is 0" in report
    assert f"request at least 1 more: {REQUEST} --quota-code L-" in report
    assert "--desired-value 1 --region us-east-1" in report
    assert aws.training_requests() == {}


def test_a_type_without_quota_is_replaced_with_a_note(aws: Emulator, rig: BackendRig) -> None:
    best, second, *_ = types_of(rig, "noisy")
    close(aws, [best])
    run = rig.pipeline("noisy").submit(backend="sagemaker")
    for job in run.plan.jobs:
        assert best not in {offer.instance_type for offer in job.offers}
        assert any(f"{best} would fit" in note and "quota" in note for note in job.notes)
    result = run.wait()
    assert {bill.instance_type for bill in result.status.bills.values()} == {second}


def test_the_quotas_of_spot_capacity_are_separate(
    aws: Emulator, rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_SAGEMAKER_SPOT", "true")
    (best, *_) = types_of(rig, "noisy")
    aws.set_quota(best, 0, usage="spot training job")
    run = rig.pipeline("noisy").submit(backend="sagemaker")
    planned = {(job.capacity, o.instance_type) for job in run.plan.jobs for o in job.offers}
    assert ("spot", best) not in planned
    assert run.wait().success


def test_a_warm_pool_needs_a_quota_of_its_own(
    rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_SAGEMAKER_KEEP_ALIVE_S", "60")
    with pytest.raises(InvalidPipelineError, match="for training warm pool usage' is 0"):
        rig.pipeline("noisy").submit(backend="sagemaker")


@needs_preferences
def test_a_job_does_without_the_types_that_lost_their_quota(
    aws: Emulator, rig: BackendRig, waiting: Run
) -> None:
    best, *others = types_of(rig, "waiting")
    close(aws, [best])
    release(rig)
    result = waiting.wait()
    assert result.success
    requests = aws.training_requests()
    resources = requests[f"{waiting.id}-second-1"]["ResourceConfig"]
    assert [p["InstanceType"] for p in resources["InstancePreferences"]] == others


def test_a_job_without_any_quota_fails_instead_of_waiting(
    aws: Emulator, rig: BackendRig, waiting: Run
) -> None:
    types = types_of(rig, "waiting")
    close(aws, types)
    release(rig)
    result = waiting.wait()
    second = result.status.jobs[1]
    assert (result.state, second.state) == ("failed", JobState.FAILED)
    assert f"the account's quota '{types[0]} for training job usage' is 0" in str(second.reason)
    assert "sagemaker/quotas?region=us-east-1" in str(second.reason)
