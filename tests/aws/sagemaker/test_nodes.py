"""Jobs of several nodes on SageMaker: requests, quotas, states, bills and logs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from boto3 import Session
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from botocore.validate import validate_parameters

from flowyml_aws.aws.names import training_name
from flowyml_aws.aws.sagemaker.backend import SageMakerBackend
from flowyml_aws.aws.sagemaker.holds import TrainingHolds
from flowyml_aws.aws.sagemaker.jobs import bill_of, final_status, launches_without_result
from flowyml_aws.aws.sagemaker.limits import training_request_errors
from flowyml_aws.aws.sagemaker.options import TrainingOptions
from flowyml_aws.aws.sagemaker.quotas import TypesWithoutQuota
from flowyml_aws.aws.sagemaker.requests import training_request
from flowyml_aws.aws.sagemaker.streams import streams_by_node
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import InstanceOffer, PlannedJob
from flowyml_aws.runtime.exit_codes import NODE_LOST
from flowyml_aws.submission.backend import JobState
from tests.support.plans import a_job, a_plan, a_record

BEST, SECOND, CPU = "ml.g5.xlarge", "ml.g5.2xlarge", "ml.m5.large"
OPTIONS = TrainingOptions(
    image="123456789012.dkr.ecr.us-east-1.amazonaws.com/flowyml-aws:1",
    role="arn:aws:iam::123456789012:role/training",
    region="us-east-1",
)


def a_training_job(nodes: int, *types: str, **members: Any) -> PlannedJob:
    offers = tuple(InstanceOffer(instance_type=t, price_usd_hour=1.0, nodes=nodes) for t in types)
    job = a_job("train", backend="sagemaker", target="sagemaker", offers=offers, **members)
    return job.model_copy(update={"needs": Needs(nodes=nodes), "volume_gib": 30})


def refusal(limit: int, requested: int) -> ClientError:
    message = (
        f"The account-level service limit '{BEST} for training job usage' is {limit} Instances, "
        f"with current utilization of 0 Instances and a request delta of {requested} Instances. "
    )
    response: Any = {"Error": {"Code": "ResourceLimitExceeded", "Message": message}}
    return ClientError(response, "CreateTrainingJob")


@pytest.mark.parametrize("capacity", ["on-demand", "spot"])
def test_a_request_has_the_number_of_instances_and_is_valid(capacity: str) -> None:
    job = a_training_job(4, BEST, SECOND, capacity=capacity)
    record = a_record(a_plan(job), {"train": "abc"})
    request = training_request(job, 1, record, "s3://bucket/prefix", OPTIONS)
    assert request["ResourceConfig"]["InstanceCount"] == 4
    assert request.get("EnableManagedSpotTraining", False) == (capacity == "spot")
    assert training_request_errors(request, "train") == []
    client = boto3.client("sagemaker", "eu-west-3")
    shape = client.meta.service_model.operation_model("CreateTrainingJob").input_shape
    assert shape is not None
    validate_parameters(cast(Any, request), shape)


@pytest.fixture
def holds() -> TrainingHolds:
    return TrainingHolds("eu-west-3", poll_s=5.0, clock=lambda: 1000.0)


def test_a_quota_below_the_nodes_closes_a_type_only_for_jobs_with_as_many(
    holds: TrainingHolds,
) -> None:
    four, two = a_training_job(4, BEST, SECOND), a_training_job(2, BEST, SECOND)
    assert holds.refuse(four, refusal(2, 4), ended_count=0)
    remaining = holds.open_types(four)
    assert remaining is not None
    assert [offer.machines for offer in remaining.offers] == [f"4 x {SECOND}"]
    assert holds.open_types(two) is two


def test_a_job_whose_nodes_exceed_the_quota_of_its_only_type_fails(holds: TrainingHolds) -> None:
    four = a_training_job(4, BEST)
    holds.refuse(four, refusal(2, 4), ended_count=0)
    assert holds.open_types(four) is None
    reason = str(holds.statuses({})["train"].reason)
    assert f"'{BEST} for training job usage' is 2 instances; request at least 2 more" in reason


def test_jobs_with_fewer_nodes_do_not_wait_for_the_quota_of_larger_ones(
    holds: TrainingHolds,
) -> None:
    assert not holds.refuse(a_training_job(4, BEST), refusal(5, 4), ended_count=0)
    assert holds.is_waiting(a_training_job(4, BEST), ended_count=0)
    assert not holds.is_waiting(a_training_job(1, BEST), ended_count=0)


def test_quotas_below_the_nodes_of_a_planned_job_limit_every_type() -> None:
    client = Session().client(
        "service-quotas", "eu-west-3", aws_access_key_id="x", aws_secret_access_key="x"
    )
    lookup = TypesWithoutQuota(lambda: client, "eu-west-3", keeps_instances=False)
    quotas = [
        {"QuotaName": f"{name} for training job usage", "QuotaCode": f"L-{n}", "Value": float(n)}
        for name, n in ((BEST, 2), (SECOND, 0), (CPU, 4))
    ]
    with Stubber(client) as stub:
        stub.add_response("list_service_quotas", {"Quotas": quotas})
        assert not lookup.close([a_training_job(2, BEST)], [BEST, SECOND, CPU])
        assert lookup.close([a_training_job(4, BEST)], [BEST, SECOND, CPU])
        assert not lookup.close([a_training_job(4, CPU)], [BEST, SECOND, CPU])
    assert lookup.closed["on-demand"].keys() == {SECOND}
    assert "request at least 1 more" in lookup.closed["on-demand"][SECOND]
    limits = lookup.node_limits["on-demand"]
    assert {name: limit.nodes for name, limit in limits.items()} == {BEST: 2}
    assert "is 2 instances; request at least 2 more" in limits[BEST].reason
    assert "--desired-value 4" in limits[BEST].reason


def a_detail(**members: Any) -> Any:
    resources = {"InstanceType": CPU, "InstanceCount": 4, "VolumeSizeInGB": 10}
    return {"ResourceConfig": resources, "StoppingCondition": {}, **members}


def test_a_bill_counts_the_time_of_each_instance() -> None:
    detail = a_detail(BillableTimeInSeconds=30, TrainingTimeInSeconds=100)
    bill = bill_of(detail)
    assert bill is not None
    assert (bill.billed_s, bill.ran_s, bill.saved) == (120, 400, 0.7)


def test_the_instances_that_sagemaker_has_selected_are_billed() -> None:
    resources = {"InstancePreferences": [], "SelectedInstanceCount": 2, "SelectedInstanceType": CPU}
    bill = bill_of(a_detail(BillableTimeInSeconds=30, ResourceConfig=resources))
    assert bill is not None
    assert bill.billed_s == 60


def test_a_lost_node_is_a_lost_host_whose_attempt_is_repeated() -> None:
    detail = a_detail(
        TrainingJobStatus="Failed",
        SecondaryStatus="Failed",
        FailureReason=f"AlgorithmError: , exit code: {NODE_LOST}",
    )
    status = final_status(detail, 1)
    assert (status.state, status.losses) == (JobState.LOST, 1)
    lost, last = launches_without_result(detail, 1)
    assert (len(lost), last) == (1, None)


def test_each_node_has_the_streams_of_its_host_from_every_start() -> None:
    streams = ["t/algo-10-5", "t/algo-1-5", "t/algo-2-5", "t/algo-1-9", "t/other"]
    nodes = streams_by_node("g", streams)
    assert [(each.node, each.streams) for each in nodes] == [
        (0, ("t/algo-1-5", "t/algo-1-9")),
        (1, ("t/algo-2-5",)),
        (9, ("t/algo-10-5",)),
    ]


class ScriptedAws:
    """Clients of SageMaker and CloudWatch Logs with one training job on two hosts."""

    def __init__(self, job: str, lines: dict[str, list[tuple[int, str]]]) -> None:
        self.meta = SimpleNamespace(region_name="us-east-1")
        self.exceptions = SimpleNamespace(ResourceNotFoundException=KeyError)
        summary = {"TrainingJobName": job, "TrainingJobStatus": "InProgress"}
        self._pages = {
            "list_training_jobs": {"TrainingJobSummaries": [summary]},
            "describe_log_streams": {
                "logStreams": [{"logStreamName": f"{job}/{host}-7"} for host in lines]
            },
        }
        self._lines = {f"{job}/{host}-7": events for host, events in lines.items()}

    def get_paginator(self, operation: str) -> Any:
        return SimpleNamespace(paginate=lambda **_: iter([self._pages[operation]]))

    def get_log_events(self, *, logStreamName: str, nextToken: str = "0", **_: Any) -> Any:
        new = self._lines[logStreamName][int(nextToken) :]
        events = [{"timestamp": time_ms, "message": message} for time_ms, message in new]
        return {"events": events, "nextForwardToken": str(len(self._lines[logStreamName]))}


def test_the_lines_of_all_hosts_are_read_in_order_and_labelled(tmp_path: Path) -> None:
    plan = a_plan(a_training_job(2, CPU), backend="sagemaker")
    record = a_record(plan)
    lines = {"algo-2": [(2, "two"), (4, "four")], "algo-1": [(1, "one"), (3, "three")]}
    aws: Any = ScriptedAws(training_name(record.run_id, "train", 1), lines)
    store = DirectoryArtifactStore(tmp_path)
    backend = SageMakerBackend(aws, aws, store, record, plan, OPTIONS, poll_s=0.0)
    read, cursor = backend.logs("train", None)
    assert [line.message for line in read] == ["one", "[node 1] two", "three", "[node 1] four"]
    lines["algo-2"].append((5, "five"))
    read, _ = backend.logs("train", cursor)
    assert [line.message for line in read] == ["[node 1] five"]
