"""The SageMaker SDK accepts the requests that are sent, and returns the jobs that ran."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.aws.sagemaker.options import TrainingOptions
from flowyml_aws.aws.sagemaker.requests import training_request
from flowyml_aws.planning.plan import InstanceOffer
from flowyml_aws.testing import Emulator
from tests.support.plans import a_job, a_plan, a_record
from tests.support.rigs import BackendRig, raised_emulator
from tests.support.sagemaker_shapes import NO_SDK, as_sdk_sends

pytest.importorskip("sagemaker.core", reason=NO_SDK)

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("sagemaker-sdk")]

OPTIONS = TrainingOptions(
    image="123456789012.dkr.ecr.us-east-1.amazonaws.com/flowyml-aws:1",
    role="arn:aws:iam::123456789012:role/training",
    region="us-east-1",
)
ALL_OPTIONS = replace(
    OPTIONS,
    subnets=("subnet-1",),
    security_groups=("sg-1",),
    volume_kms_key="alias/volume",
    output_kms_key="alias/output",
    keep_alive_s=600,
    tags={"team": "vision"},
)


def request(options: TrainingOptions, **changes: Any) -> dict[str, Any]:
    names = ("ml.m5.large", "ml.m6i.large")
    job = a_job(
        "train",
        backend="sagemaker",
        target="sagemaker",
        offers=tuple(InstanceOffer(instance_type=name, price_usd_hour=1.0) for name in names),
        volume_gib=30,
        **changes,
    )
    record = a_record(a_plan(job), {"train": "abc"})
    return dict(training_request(job, 1, record, "s3://bucket/prefix", options))


@pytest.mark.parametrize(
    "arguments",
    [request(OPTIONS), request(ALL_OPTIONS), request(ALL_OPTIONS, capacity="spot", timeout_s=60)],
    ids=["several types", "a warm pool in a network", "spot"],
)
def test_a_request_matches_the_shapes_of_the_sdk(arguments: dict[str, Any]) -> None:
    assert as_sdk_sends(arguments) == arguments


def test_an_invalid_request_does_not_match_the_shapes() -> None:
    arguments = request(OPTIONS)
    arguments["StoppingCondition"] = {"MaxRuntimeInSeconds": "an hour"}
    with pytest.raises(ValueError, match="max_runtime_in_seconds"):
        as_sdk_sends(arguments)


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator() as aws:
        yield aws


def test_a_run_sends_the_sdks_requests_and_returns_the_sdks_training_jobs(
    aws: Emulator, rig: BackendRig
) -> None:
    Path(f"{rig.trace}.go").touch()
    run = rig.pipeline("waiting").submit(backend="sagemaker")
    assert run.wait().success
    requests = aws.training_requests()
    assert len(requests) == sum(view.attempt for view in run.status().jobs)
    for arguments in requests.values():
        assert as_sdk_sends(arguments) == arguments
    job = run.jobs["first"].training_job()
    assert job.training_job_status == "Completed"
    assert job.training_job_name in requests
    assert job.secondary_status_transitions[-1].status == "Completed"
