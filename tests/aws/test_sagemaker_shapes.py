"""SageMaker's own SDK understands what is sent, and gives back the jobs that ran."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.aws.sagemaker_requests import training_request
from flowyml_aws.aws.sagemaker_terms import TrainingTerms
from flowyml_aws.planning.plan import InstanceOffer
from flowyml_aws.testing import Emulator
from tests.support.places import Place
from tests.support.plans import a_job, a_plan, a_record
from tests.support.sagemaker_shapes import NO_SDK, as_sdk_sends

pytest.importorskip("sagemaker.core", reason=NO_SDK)

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("sagemaker-sdk")]

TERMS = TrainingTerms(
    image="123456789012.dkr.ecr.us-east-1.amazonaws.com/flowyml-aws:1",
    role="arn:aws:iam::123456789012:role/training",
    region="us-east-1",
)
ALL_TERMS = replace(
    TERMS,
    subnets=("subnet-1",),
    security_groups=("sg-1",),
    volume_kms_key="alias/volume",
    output_kms_key="alias/output",
    keep_alive_s=600,
    tags={"team": "vision"},
)


def request(terms: TrainingTerms, **changes: Any) -> dict[str, Any]:
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
    return dict(training_request(job, 1, record, "s3://bucket/prefix", terms))


@pytest.mark.parametrize(
    "told",
    [request(TERMS), request(ALL_TERMS), request(ALL_TERMS, capacity="spot", timeout_s=60)],
    ids=["several types", "a warm pool in a network", "spot"],
)
def test_a_request_fits_the_shapes_of_the_sdk(told: dict[str, Any]) -> None:
    assert as_sdk_sends(told) == told


def test_what_does_not_fit_is_noticed() -> None:
    told = request(TERMS)
    told["StoppingCondition"] = {"MaxRuntimeInSeconds": "an hour"}
    with pytest.raises(ValueError, match="max_runtime_in_seconds"):
        as_sdk_sends(told)


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with Emulator() as aws:
        yield aws


def test_a_run_sends_what_the_sdk_sends_and_its_jobs_come_back_as_the_sdks(
    aws: Emulator, place: Place
) -> None:
    Path(f"{place.trace}.go").touch()
    run = place.pipeline("waiting").submit("sagemaker")
    assert run.wait().success
    requests = aws.training_requests()
    assert len(requests) == sum(view.attempt for view in run.status().jobs)
    for told in requests.values():
        assert as_sdk_sends(told) == told
    job = run.jobs["first"].training_job()
    assert job.training_job_status == "Completed"
    assert job.training_job_name in requests
    assert job.secondary_status_transitions[-1].status == "Completed"
