"""Bills of training jobs that SageMaker has not ended or billed yet, with a scripted client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from flowyml_aws.aws.sagemaker.backend import SageMakerBackend
from flowyml_aws.aws.sagemaker.jobs import ATTEMPTS
from flowyml_aws.aws.sagemaker.options import TrainingOptions
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.support.plans import a_job, a_plan, a_record

STARTED = datetime(2026, 11, 22, tzinfo=timezone.utc)
PLAN = a_plan(a_job("a"), a_job("b", after=["a"]), a_job("c", after=["b"]), backend="sagemaker")


@dataclass
class ScriptedSageMaker:
    """A SageMaker client with training jobs that a test sets.

    Attributes:
        listed: Status of a training job in listings, if they do not show the current one.
    """

    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    listed: dict[str, str] = field(default_factory=dict)
    described: list[str] = field(default_factory=list)
    meta: Any = field(default_factory=lambda: SimpleNamespace(region_name="us-east-1"))

    def set(self, name: str, status: str, *, billed_s: int | None = None, **more: Any) -> None:
        billed = {} if billed_s is None else {"BillableTimeInSeconds": billed_s}
        self.details[name] = {
            "TrainingJobName": name,
            "TrainingJobStatus": status,
            "SecondaryStatus": "Training" if status == "InProgress" else status,
            "ResourceConfig": {"InstanceType": "ml.m5.large"},
            "StoppingCondition": {},
            "CreationTime": STARTED,
            **billed,
            **more,
        }

    def get_paginator(self, _operation: str) -> Any:
        return self

    def paginate(self, **_request: Any) -> Iterator[dict[str, Any]]:
        summaries = [
            {**detail, "TrainingJobStatus": self.listed.get(name, detail["TrainingJobStatus"])}
            for name, detail in self.details.items()
        ]
        yield {"TrainingJobSummaries": summaries}

    def describe_training_job(self, *, TrainingJobName: str) -> dict[str, Any]:
        self.described.append(TrainingJobName)
        if TrainingJobName not in self.details:
            message = "Requested resource not found."
            error: Any = {"Error": {"Code": "ValidationException", "Message": message}}
            raise ClientError(error, "DescribeTrainingJob")
        return self.details[TrainingJobName]


@pytest.fixture
def sagemaker() -> ScriptedSageMaker:
    return ScriptedSageMaker()


@pytest.fixture
def backend(sagemaker: ScriptedSageMaker, tmp_path: Path) -> SageMakerBackend:
    store = DirectoryArtifactStore(tmp_path)
    client, record, options = cast("Any", sagemaker), a_record(PLAN), TrainingOptions()
    return SageMakerBackend(client, client, store, record, PLAN, options, poll_s=1.0)


def name_of(job: str, attempt: int = 1) -> str:
    return f"{a_record(PLAN).run_id}-{job}-{attempt}"


def bills_of(backend: SageMakerBackend) -> tuple[dict[str, int], list[str]]:
    """Return the billed seconds by job, and the jobs whose bills are awaited."""
    bills = backend.bills()
    return {job: bill.billed_s for job, bill in bills.known.items()}, sorted(bills.awaited)


def test_the_bill_of_a_job_that_has_not_ended_is_awaited(
    sagemaker: ScriptedSageMaker, backend: SageMakerBackend
) -> None:
    sagemaker.set(name_of("a"), "Completed", billed_s=7)
    sagemaker.set(name_of("b"), "InProgress")
    assert bills_of(backend) == ({"a": 7}, ["b"])
    sagemaker.set(name_of("b"), "Completed", billed_s=8)
    assert bills_of(backend) == ({"a": 7, "b": 8}, [])


def test_a_bill_that_comes_after_the_end_is_awaited(
    sagemaker: ScriptedSageMaker, backend: SageMakerBackend
) -> None:
    sagemaker.set(name_of("a"), "Completed", TrainingStartTime=STARTED + timedelta(seconds=90))
    assert bills_of(backend) == ({}, ["a"])
    sagemaker.set(name_of("a"), "Completed", billed_s=7)
    assert bills_of(backend) == ({"a": 7}, [])


def test_a_job_that_never_had_an_instance_has_no_bill(
    sagemaker: ScriptedSageMaker, backend: SageMakerBackend
) -> None:
    sagemaker.set(name_of("a"), "Stopped")
    assert bills_of(backend) == ({}, [])


def test_only_the_first_call_looks_for_jobs_that_were_not_submitted(
    sagemaker: ScriptedSageMaker, backend: SageMakerBackend
) -> None:
    sagemaker.set(name_of("a"), "InProgress")
    backend.bills()
    assert set(sagemaker.described) == {name_of("a"), name_of("b"), name_of("c")}
    sagemaker.described.clear()
    backend.bills()
    assert sagemaker.described == [name_of("a")]


def test_an_attempt_before_a_move_is_billed_before_listings_show_its_end(
    sagemaker: ScriptedSageMaker, backend: SageMakerBackend
) -> None:
    first, second = PLAN.jobs[0], PLAN.jobs[0].model_copy(update={"moved": 1})
    backend.move(PLAN.model_copy(update={"jobs": (second, *PLAN.jobs[1:])}))
    sagemaker.set(name_of(first.name), "Failed", billed_s=3, FailureReason="exit code: 137")
    sagemaker.listed[name_of(first.name)] = "InProgress"
    sagemaker.set(name_of(first.name, ATTEMPTS + 1), "Completed", billed_s=7)
    assert bills_of(backend) == ({"a": 10}, [])
