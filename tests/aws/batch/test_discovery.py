from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from flowyml_aws.aws.batch.discovery import bucket_problem, credentials_problem, find_targets
from flowyml_aws.catalog.disk import Disk
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.errors import AwsRefusedError, SettingsError
from flowyml_aws.planning.targets import Taint, Target, TypePool

ARN = "arn:aws:batch:us-east-1:123456789012"
OFFERED = {t.name for t in load_catalog().types if t.offered and not t.retired_after}


@pytest.fixture
def stubs() -> Iterator[dict[str, Stubber]]:
    """Stubbed clients by service; each must receive all calls that it expects."""
    session = boto3.Session(
        aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1"
    )
    stubbers = {name: Stubber(session.client(name)) for name in ("batch", "s3", "sts")}
    for stub in stubbers.values():
        stub.activate()
    yield stubbers
    for stub in stubbers.values():
        stub.assert_no_pending_responses()


def client_of(stub: Stubber) -> Any:
    return stub.client


def queue(name: str, *environments: str, **members: Any) -> dict[str, Any]:
    order = [
        {"order": number, "computeEnvironment": f"{ARN}:compute-environment/{environment}"}
        for number, environment in enumerate(environments, 1)
    ]
    return {
        "jobQueueName": name,
        "jobQueueArn": f"{ARN}:job-queue/{name}",
        "state": "ENABLED",
        "status": "VALID",
        "priority": 1,
        "computeEnvironmentOrder": order,
        **members,
    }


def environment(name: str, *types: str, kind: str = "EC2", **members: Any) -> dict[str, Any]:
    resources = {"type": kind, "maxvCpus": 256, "subnets": ["s"], "instanceTypes": list(types)}
    return {
        "computeEnvironmentName": name,
        "computeEnvironmentArn": f"{ARN}:compute-environment/{name}",
        "ecsClusterArn": "arn",
        "state": "ENABLED",
        "status": "VALID",
        "computeResources": resources,
        **members,
    }


def targets(
    stub: Stubber,
    queues: list[dict[str, Any]],
    environments: list[dict[str, Any]],
    wanted: tuple[str, ...] = (),
    offered: Collection[str] | None = OFFERED,
) -> list[Target]:
    stub.add_response("describe_job_queues", {"jobQueues": queues})
    stub.add_response("describe_compute_environments", {"computeEnvironments": environments})
    return find_targets(client_of(stub), wanted, offered, load_catalog())


def test_a_queue_is_a_target_with_the_types_of_its_environments_in_order(
    stubs: dict[str, Stubber],
) -> None:
    (target,) = targets(
        stubs["batch"],
        [queue("cpu", "second", "first")],
        [environment("first", "m6i.large"), environment("second", "c6i.large", "m6i.large")],
    )
    assert (target.name, target.kind, target.capacity) == ("cpu", "batch", "on-demand")
    assert target.instance_types == ("c6i.large", "m6i.large")


def test_a_family_expands_to_its_types(stubs: dict[str, Stubber]) -> None:
    (target,) = targets(stubs["batch"], [queue("q", "e")], [environment("e", "g4dn")])
    assert "g4dn.xlarge" in target.instance_types
    assert all(name.startswith("g4dn.") for name in target.instance_types)


@pytest.mark.parametrize(("keyword", "family"), [("optimal", "m5"), ("default_x86_64", "m6i")])
def test_batch_s_keywords_expand_to_several_families(
    stubs: dict[str, Stubber], keyword: str, family: str
) -> None:
    (target,) = targets(stubs["batch"], [queue("q", "e")], [environment("e", keyword)])
    assert f"{family}.xlarge" in target.instance_types


def test_a_queue_is_spot_if_all_of_its_environments_are(stubs: dict[str, Stubber]) -> None:
    spot, mixed = targets(
        stubs["batch"],
        [queue("spot", "s"), queue("mixed", "s", "d")],
        [environment("s", "m6i", kind="SPOT"), environment("d", "m6i")],
        ("spot", "mixed"),
    )
    assert (spot.capacity, mixed.capacity) == ("spot", "on-demand")


@pytest.mark.parametrize(
    ("tags", "disk"),
    [
        ({}, Disk(10, is_assumed=True)),
        ({"flowyml-aws:disk-gib": "80"}, Disk(80)),
        ({"flowyml-aws:disk-gib": "80", "flowyml-aws:nvme": "data-root"}, Disk(80, True)),
    ],
)
def test_tags_describe_the_disk_of_a_queue(
    stubs: dict[str, Stubber], tags: dict[str, str], disk: Disk
) -> None:
    (target,) = targets(stubs["batch"], [queue("q", "e", tags=tags)], [environment("e", "m6i")])
    assert target.disk == disk


def test_an_invalid_size_of_a_disk_is_an_error_that_names_the_queue(
    stubs: dict[str, Stubber],
) -> None:
    tags = {"flowyml-aws:disk-gib": "80Gi"}
    with pytest.raises(SettingsError, match="Invalid tag flowyml-aws:disk-gib of queue 'q'"):
        targets(stubs["batch"], [queue("q", "e", tags=tags)], [environment("e", "m6i")])


def test_tags_become_labels_and_taints(stubs: dict[str, Stubber]) -> None:
    tags = {
        "flowyml-aws:label:team": "vision",
        "flowyml-aws:taint:gpu": "NoSchedule",
        "flowyml-aws:taint:team": "vision:NoExecute",
        "other": "x",
    }
    (target,) = targets(stubs["batch"], [queue("q", "e", tags=tags)], [environment("e", "m6i")])
    assert target.labels == {"team": "vision"}
    assert target.taints == (
        Taint("gpu", "", "NoSchedule"),
        Taint("team", "vision", "NoExecute"),
    )


def test_an_invalid_taint_tag_is_an_error_that_names_it(stubs: dict[str, Stubber]) -> None:
    tags = {"flowyml-aws:taint:gpu": "true"}
    with pytest.raises(SettingsError, match="flowyml-aws:taint:gpu"):
        targets(stubs["batch"], [queue("q", "e", tags=tags)], [environment("e", "m6i")])


def test_an_unknown_queue_is_an_error_with_the_nearest_names(stubs: dict[str, Stubber]) -> None:
    with pytest.raises(SettingsError) as caught:
        targets(
            stubs["batch"], [queue("gpu-t4", "e"), queue("cpu", "e")], [], ("gpu_t4", "cpu", "cpus")
        )
    assert caught.value.what == "Queues 'gpu_t4', 'cpus' do not exist"
    assert caught.value.why == "the account's queues are cpu, gpu-t4"
    assert caught.value.fix == "did you mean 'gpu-t4' and 'cpu'?"


UNUSABLE = [
    (queue("q", "e", state="DISABLED"), environment("e", "m6i"), "q: it is DISABLED"),
    (
        queue("q", "e", status="CREATING"),
        environment("e", "m6i"),
        "q: it is CREATING",
    ),
    (
        queue("q", "e", status="INVALID", statusReason="no role"),
        environment("e", "m6i"),
        "q: it is INVALID (no role)",
    ),
    (queue("q", "e"), environment("e", "m6i", state="DISABLED"), "e is DISABLED"),
    (
        queue("q", "e"),
        environment("e", "m6i", status="INVALID", statusReason="CLIENT_ERROR"),
        "e is INVALID (CLIENT_ERROR)",
    ),
    (queue("q", "e"), environment("e", kind="FARGATE"), "e is not on EC2"),
    (queue("q"), environment("e", "m6i"), "it has no compute environment"),
]


@pytest.mark.parametrize(("unusable", "its_environment", "reason"), UNUSABLE)
def test_a_named_queue_that_can_t_take_jobs_is_an_error_with_the_reason(
    stubs: dict[str, Stubber],
    unusable: dict[str, Any],
    its_environment: dict[str, Any],
    reason: str,
) -> None:
    with pytest.raises(SettingsError, match="Queue 'q' can't take jobs") as caught:
        targets(
            stubs["batch"],
            [queue("cpu", "works"), unusable],
            [environment("works", "m6i"), its_environment],
            ("cpu", "q"),
        )
    assert reason in caught.value.why


def test_without_named_queues_those_that_work_are_used(stubs: dict[str, Stubber]) -> None:
    usable = targets(
        stubs["batch"],
        [queue("off", "e", state="DISABLED"), queue("cpu", "e")],
        [environment("e", "m6i")],
    )
    assert [target.name for target in usable] == ["cpu"]


def test_an_account_without_queues_is_an_error(stubs: dict[str, Stubber]) -> None:
    with pytest.raises(SettingsError, match="no job queue"):
        targets(stubs["batch"], [], [])


def test_an_account_whose_queues_are_all_disabled_is_an_error(stubs: dict[str, Stubber]) -> None:
    with pytest.raises(SettingsError, match="it is DISABLED"):
        targets(stubs["batch"], [queue("off", state="DISABLED")], [])


def test_a_denied_listing_is_an_error_with_the_permission(stubs: dict[str, Stubber]) -> None:
    stubs["batch"].add_client_error("describe_job_queues", "AccessDeniedException", "no")
    with pytest.raises(AwsRefusedError, match="DescribeJobQueues"):
        find_targets(client_of(stubs["batch"]), (), OFFERED, load_catalog())


def test_valid_credentials_have_no_problem(stubs: dict[str, Stubber]) -> None:
    stubs["sts"].add_response("get_caller_identity", {"Account": "123456789012"})
    assert credentials_problem(client_of(stubs["sts"])) is None


def test_expired_credentials_are_reported_with_the_way_to_renew_them(
    stubs: dict[str, Stubber],
) -> None:
    stubs["sts"].add_client_error("get_caller_identity", "ExpiredToken", "gone", 403)
    problem = credentials_problem(client_of(stubs["sts"]))
    assert isinstance(problem, AwsRefusedError)
    assert "expired" in problem.why
    assert "aws sso login" in problem.fix


def test_an_existing_bucket_has_no_problem(stubs: dict[str, Stubber]) -> None:
    stubs["s3"].add_response("head_bucket", {})
    assert bucket_problem(client_of(stubs["s3"]), "b") is None


def test_a_missing_bucket_is_a_settings_error(stubs: dict[str, Stubber]) -> None:
    stubs["s3"].add_client_error("head_bucket", "404", "Not Found", 404)
    problem = bucket_problem(client_of(stubs["s3"]), "b")
    assert isinstance(problem, SettingsError)
    assert problem.what == "Bucket 'b' does not exist"


def test_a_denied_bucket_is_an_error_that_names_the_permissions(stubs: dict[str, Stubber]) -> None:
    stubs["s3"].add_client_error("head_bucket", "403", "Forbidden", 403)
    problem = bucket_problem(client_of(stubs["s3"]), "b")
    assert isinstance(problem, AwsRefusedError)
    assert "s3:PutObject" in problem.fix


def test_any_other_bucket_error_is_reported_with_its_fix(stubs: dict[str, Stubber]) -> None:
    stubs["s3"].add_client_error("head_bucket", "301", "Moved Permanently", 301)
    problem = bucket_problem(client_of(stubs["s3"]), "b")
    assert problem is not None and "AWS_REGION" in problem.fix


def test_types_that_the_region_does_not_offer_are_closed_with_the_reason(
    stubs: dict[str, Stubber],
) -> None:
    (target,) = targets(
        stubs["batch"], [queue("gpu", "v100")], [environment("v100", "p3.8xlarge", "p3dn")]
    )
    assert target.instance_types == ("p3dn.24xlarge",)
    assert "us-east-1 does not offer it, AWS has withdrawn it" in target.closed["p3.8xlarge"]


def test_retired_types_are_closed_if_the_offerings_are_unknown(
    stubs: dict[str, Stubber],
) -> None:
    (target,) = targets(
        stubs["batch"],
        [queue("gpu", "v100")],
        [environment("v100", "p3.8xlarge", "p3dn")],
        offered=None,
    )
    assert target.instance_types == ("p3dn.24xlarge",)
    assert "withdrawn" in target.closed["p3.8xlarge"]


def test_a_type_with_more_vcpus_than_the_environment_allows_is_closed(
    stubs: dict[str, Stubber],
) -> None:
    small = environment("small", "m5.large", "m5.24xlarge")
    small["computeResources"]["maxvCpus"] = 16
    (target,) = targets(stubs["batch"], [queue("cpu", "small")], [small])
    assert target.instance_types == ("m5.large",)
    assert target.closed == {"m5.24xlarge": "it has 96 vCPUs, the target allows 16 in all"}


def test_a_type_that_is_too_large_for_one_environment_can_start_in_another(
    stubs: dict[str, Stubber],
) -> None:
    small, large = environment("small", "m5.24xlarge"), environment("large", "m5.24xlarge")
    small["computeResources"]["maxvCpus"] = 16
    (target,) = targets(stubs["batch"], [queue("cpu", "small", "large")], [small, large])
    assert (target.instance_types, target.closed) == (("m5.24xlarge",), {})


def test_each_environment_is_a_pool_with_its_limit_and_strategy(stubs: dict[str, Stubber]) -> None:
    first, second = environment("first", "g4dn.xlarge"), environment("second", "g4dn")
    first["computeResources"] |= {"allocationStrategy": "BEST_FIT_PROGRESSIVE", "maxvCpus": 4}
    (target,) = targets(stubs["batch"], [queue("t4", "first", "second")], [first, second])
    assert target.pools[0] == TypePool(("g4dn.xlarge",), 4, starts_cheapest=False)
    assert target.pools[1].starts_cheapest  # BEST_FIT is AWS's default
    assert "g4dn.8xlarge" in target.pools[1].types


def test_a_pool_has_the_types_above_its_limit_but_not_those_that_the_region_lacks(
    stubs: dict[str, Stubber],
) -> None:
    small = environment("small", "m5.large", "m5.24xlarge", "c5.large")
    small["computeResources"]["maxvCpus"] = 16
    (target,) = targets(
        stubs["batch"], [queue("cpu", "small")], [small], offered={"m5.large", "m5.24xlarge"}
    )
    assert target.pools[0].types == ("m5.large", "m5.24xlarge")
