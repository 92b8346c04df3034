"""Jobs on several nodes: requests, definitions, queues, statuses and logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import boto3
import pytest
from botocore.stub import Stubber
from botocore.validate import validate_parameters

from flowyml_aws.aws.batch.definition import (
    DefinitionKind,
    JobImage,
    ensure_kind,
)
from flowyml_aws.aws.batch.jobs import status_of
from flowyml_aws.aws.batch.limits import submit_request_errors
from flowyml_aws.aws.batch.nodes import with_main_nodes
from flowyml_aws.aws.batch.requests import batch_jobs, submit_request
from flowyml_aws.aws.batch.runnable import diagnose
from flowyml_aws.aws.log_streams import NodeStreams, read_nodes
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.planning.eligibility import SelectionRequest
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.no_fit import no_fit_error
from flowyml_aws.planning.nodes import EFA_LABEL
from flowyml_aws.planning.targets import Target, obstacle, offline_targets
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.exit_codes import NODE_LOST
from flowyml_aws.runtime.platform import Platform
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.losses import EndedAttempt
from flowyml_aws.submission.times import JobTimes
from tests.aws.batch.test_discovery import environment, queue, targets
from tests.aws.batch.test_runnable import G_QUOTA, a_queue, an_environment, waiting
from tests.support.plans import a_job, a_plan, a_record

FOUR = Needs(vcpus=8, memory_mib=16384, gpu_model="t4", gpu_count=1, nodes=4)
NODES_TAG = {"flowyml-aws-nodes": "true"}
EXITED = "Essential container in task exited"
IMAGE = JobImage("image", "job-role", "execution-role", "/logs")


def a_client(service: str = "batch") -> Any:
    return boto3.Session(
        aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1"
    ).client(service)  # type: ignore[call-overload]  # its stubs accept literal names only


def the_request(needs: Needs = FOUR, **changes: Any) -> dict[str, Any]:
    plan = a_plan(a_job("train", needs=needs, **changes))
    (job,) = batch_jobs(plan, a_record(plan), "s3://bucket/prefix", "eu-west-3")
    return dict(submit_request(job, a_record(plan), "definition", {"parent": "id-1"}))


def test_a_job_on_several_nodes_overrides_the_number_and_the_container_of_all_nodes() -> None:
    request = the_request(timeout_s=3600)
    one = the_request(replace(FOUR, nodes=1), timeout_s=3600)
    overrides = one.pop("containerOverrides")
    assert request.pop("nodeOverrides") == {
        "numNodes": 4,
        "nodePropertyOverrides": [{"targetNodes": "0:", "containerOverrides": overrides}],
    }
    assert request == one  # dependencies, retries, the timeout of the whole job, tags


def test_the_request_is_valid_for_botocore_and_for_batch() -> None:
    shape = a_client().meta.service_model.operation_model("SubmitJob").input_shape
    request = the_request()
    validate_parameters(request, shape)
    assert submit_request_errors(cast("Any", request), "train") == []


def test_the_overrides_of_nodes_have_the_limit_of_containers() -> None:
    request = the_request()
    (nodes,) = request["nodeOverrides"]["nodePropertyOverrides"]
    nodes["containerOverrides"]["environment"] = [{"name": "A", "value": "x" * 8192}]
    (problem,) = submit_request_errors(cast("Any", request), "train")
    assert "8,192 characters" in problem.why


def test_the_job_that_joins_parents_runs_on_one_machine() -> None:
    names = [f"part-{number}" for number in range(21)]
    plan = a_plan(*map(a_job, names), a_job("train", after=names, needs=FOUR))
    jobs = batch_jobs(plan, a_record(plan), "s3://bucket/prefix", "eu-west-3")
    assert {job.needs.nodes for job in jobs if job.is_join} == {1}


def registered(
    has_nodes: bool, secrets: Mapping[str, str] | None = None, efa_interfaces: int = 0
) -> dict[str, Any]:
    """Return the arguments of RegisterJobDefinition for a definition that does not exist."""
    listed = tuple((secrets or {}).items())
    return registered_kind(DefinitionKind(1024, listed, has_nodes, efa_interfaces))


def registered_kind(kind: DefinitionKind) -> dict[str, Any]:
    batch = a_client()
    members: dict[str, Any] = {}
    batch.meta.events.register(
        "provide-client-params.batch.RegisterJobDefinition",
        lambda params, **_: members.update(params),
    )
    answer = {"jobDefinitionName": "d", "jobDefinitionArn": "arn", "revision": 1}
    with Stubber(batch) as answers:
        answers.add_response("describe_job_definitions", {"jobDefinitions": []})
        answers.add_response("register_job_definition", answer)
        ensure_kind(batch, IMAGE, kind)
    return members


def test_all_nodes_have_the_container_of_a_job_on_one_machine() -> None:
    secrets = {"TOKEN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:token"}
    one = registered(has_nodes=False, secrets=secrets)
    several = registered(has_nodes=True, secrets=secrets)
    assert (several["type"], several["platformCapabilities"]) == ("multinode", ["EC2"])
    assert several["nodeProperties"] == {
        "numNodes": 2,
        "mainNode": 0,
        "nodeRangeProperties": [
            {"targetNodes": "0:", "container": one["containerProperties"]},
        ],
    }
    assert several["jobDefinitionName"] != one["jobDefinitionName"]


def test_the_containers_of_nodes_have_the_devices_of_all_efa_and_lock_any_memory() -> None:
    without = registered(has_nodes=True)
    with_two = registered(has_nodes=True, efa_interfaces=2)
    (nodes,) = with_two["nodeProperties"]["nodeRangeProperties"]
    container = nodes["container"]
    names = [f"/dev/infiniband/uverbs{number}" for number in range(2)]
    assert container["linuxParameters"].pop("devices") == [
        {"hostPath": name, "containerPath": name, "permissions": ["READ", "WRITE", "MKNOD"]}
        for name in names
    ]
    assert container.pop("ulimits") == [{"name": "memlock", "softLimit": -1, "hardLimit": -1}]
    assert with_two["nodeProperties"] == without["nodeProperties"]  # apart from these
    assert with_two["jobDefinitionName"] != without["jobDefinitionName"]


def test_the_definition_of_a_job_has_the_efa_of_its_plan() -> None:
    plan = a_plan(a_job("train", needs=FOUR, efa_interfaces=4), a_job("other", needs=FOUR))
    train, other = batch_jobs(plan, a_record(plan), "s3://bucket/prefix", "eu-west-3")
    kinds = [DefinitionKind.of(job) for job in (train, other)]
    assert [(kind.has_nodes, kind.efa_interfaces) for kind in kinds] == [(True, 4), (True, 0)]
    assert "devices" not in container_of(registered_kind(kinds[1]))["linuxParameters"]
    assert len(devices_of(registered_kind(kinds[0]))) == 4


def container_of(members: dict[str, Any]) -> dict[str, Any]:
    (nodes,) = members["nodeProperties"]["nodeRangeProperties"]
    container: dict[str, Any] = nodes["container"]
    return container


def devices_of(members: dict[str, Any]) -> list[Any]:
    devices: list[Any] = container_of(members)["linuxParameters"]["devices"]
    return devices


def target_of(*environments: dict[str, Any]) -> Target:
    """Return the target of a queue with these compute environments."""
    with Stubber(a_client()) as stub:
        names = [each["computeEnvironmentName"] for each in environments]
        (target,) = targets(stub, [queue("train", *names)], list(environments))
        return target


def reason_against(target: Target, nodes: int) -> str | None:
    found = obstacle(target, Needs(nodes=nodes), load_catalog())
    return None if found is None else found.reason


def test_tagged_environments_on_demand_run_jobs_on_several_nodes() -> None:
    target = target_of(environment("a", "m6i", tags=NODES_TAG), environment("b", tags=NODES_TAG))
    assert reason_against(target, 4) is None


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (environment("b", "m6i"), "is without the tag flowyml-aws-nodes=true"),
        (environment("b", "m6i", tags={"flowyml-aws-nodes": "false"}), "is without the tag"),
        (environment("b", "m6i", kind="SPOT", tags=NODES_TAG), "is on spot capacity"),
    ],
)
def test_a_queue_with_another_environment_runs_only_jobs_on_one_machine(
    refused: dict[str, Any], reason: str
) -> None:
    target = target_of(environment("a", "m6i", tags=NODES_TAG), refused)
    assert f"its compute environment 'b' {reason}" in str(reason_against(target, 2))
    assert reason_against(target, 1) is None
    assert target.nodes_obstacle is not None
    assert "apply infra/" in target.nodes_obstacle.fix
    assert "flowyml-aws-nodes=true" in target.nodes_obstacle.fix


EFA = NODES_TAG | {"flowyml-aws-efa": "4"}


def test_a_queue_has_the_efa_of_the_environment_with_the_fewest() -> None:
    fewer = environment("b", tags=EFA | {"flowyml-aws-efa": "2"})
    target = target_of(environment("a", tags=EFA), fewer)
    assert (target.efa_interfaces, target.efa_obstacle) == (2, None)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ((NODES_TAG, NODES_TAG), "its compute environments are without the tag flowyml-aws-efa"),
        ((EFA, NODES_TAG), "its compute environment 'b' is without the tag flowyml-aws-efa"),
    ],
)
def test_a_job_that_requires_efa_needs_a_queue_whose_environments_all_have_it(
    tags: tuple[dict[str, str], ...], reason: str
) -> None:
    types = ("c6i.32xlarge",)
    a, b = (environment(n, *types, tags=t) for n, t in zip("ab", tags, strict=True))
    requiring = Needs(nodes=2, required=((EFA_LABEL, "true"),))
    target = target_of(a, b)
    assert target.efa_interfaces == 0
    error = no_fit_error(SelectionRequest(requiring, (target,), load_catalog()))
    assert error.why == f"target 'train': {reason}"
    assert "apply infra/ with `efa = 1` and `nodes` in the `capacity` of a family" in error.fix
    assert "flowyml-aws-efa=1 of an own compute environment whose launch template" in error.fix
    assert '`cpu = { capacity = ["on-demand", "spot", "nodes"], efa = 1, ' in error.fix


def test_a_number_of_efa_that_is_none_is_a_mistake_of_the_account() -> None:
    with pytest.raises(SettingsError, match=r"Invalid tag flowyml-aws-efa of .* 'a': 'yes'"):
        target_of(environment("a", tags={"flowyml-aws-efa": "yes"}))


def test_a_job_that_no_queue_can_run_on_several_nodes_is_refused_with_one_reason() -> None:
    names = ["a", "b", "c", "d", "e"]
    with Stubber(a_client()) as stub:
        found = targets(
            stub,
            [queue(name, name) for name in names],
            [environment(name, "m6i") for name in names],
        )
    error = no_fit_error(SelectionRequest(Needs(nodes=4), tuple(found), load_catalog()))
    assert error.what.startswith("No instance type fits 4 nodes, each ")
    assert error.why == (
        "targets 'a', 'b', 'c', 'd' and 1 more: its compute environments are without the tag "
        "flowyml-aws-nodes=true"
    )
    assert "apply infra/ with `nodes` in the `capacity` of a family, or set the tag" in error.fix
    assert error.fix.endswith(
        "set up the family cpu in the account with infra/, in `families`: `cpu = { capacity = "
        '["on-demand", "spot", "nodes"] }` (Terraform) or `"cpu": {"capacity": ["on-demand", '
        '"spot", "nodes"]}` (CDK): c6i.large fits for $0.3400 an hour'
    )


def test_an_offline_plan_assumes_that_nodes_can_run() -> None:
    (target,) = offline_targets(load_catalog())
    assert reason_against(target, 4) is None


def a_node_job(
    status: str, *attempts: dict[str, Any], node: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return the descriptions of a job, and of its main node unless it is None."""
    job = {"jobId": "j", "jobName": "train", "status": status, "nodeProperties": {"numNodes": 4}}
    described: list[dict[str, Any]] = [{**job, "attempts": list(attempts)}]
    if node is not None:
        described.insert(0, {"jobId": "j#0", "jobName": "train", "status": status, **node})
    return described


def merged(details: list[dict[str, Any]]) -> dict[str, Any]:
    (detail,) = with_main_nodes(cast("Any", details))
    return cast("dict[str, Any]", detail)


def test_the_exit_code_is_that_of_the_main_node() -> None:
    attempt = {"startedAt": 1000, "stoppedAt": 61000, "statusReason": EXITED, "container": {}}
    main = {"container": {"exitCode": NODE_LOST, "logStreamName": "s"}}
    node = {"attempts": [{**attempt, **main}], **main}
    status = status_of(cast("Any", merged(a_node_job("FAILED", attempt, node=node))))
    assert (status.state, status.losses) == (JobState.FAILED, 1)
    assert status.lost == (EndedAttempt(repeated_as=2, seconds=60.0),)
    assert status.reason == f"exit code {NODE_LOST}"
    assert status.times == JobTimes(started_at=1.0, ended_at=61.0)


def test_what_batch_says_about_the_job_itself_takes_precedence() -> None:
    attempt = {"startedAt": 5, "container": {"exitCode": 143}}
    older = {"startedAt": 1, "container": {"exitCode": 1, "logStreamName": "s"}}
    details = a_node_job("RUNNABLE", attempt, node={"attempts": [older, older]})
    assert merged(details)["attempts"] == [
        {"startedAt": 5, "container": {"exitCode": 143, "logStreamName": "s"}}
    ]


def test_a_job_whose_main_node_is_not_described_keeps_its_own_details() -> None:
    assert status_of(cast("Any", merged(a_node_job("RUNNABLE")))).state is JobState.QUEUED


def test_jobs_on_one_machine_are_passed_on_as_they_are() -> None:
    one = {"jobId": "k", "jobName": "k", "status": "RUNNING"}
    details = list(with_main_nodes(cast("Any", [*a_node_job("RUNNING", node={}), one])))
    assert [detail["jobId"] for detail in details] == ["k", "j"]
    assert details[0] is cast("Any", one)


def test_nodes_that_are_lost_again_and_again_are_a_lack_of_machines() -> None:
    lost = {"statusReason": EXITED, "container": {"exitCode": NODE_LOST}}
    node = {"container": lost["container"]}
    status = status_of(cast("Any", merged(a_node_job("FAILED", *[lost] * 10, node=node))))
    assert (status.cause, status.losses) == (Cause.CAPACITY, 10)


def test_every_node_is_the_same_copy_of_its_job() -> None:
    nodes = [{"AWS_BATCH_JOB_ID": f"j{suffix}"} for suffix in ("", "#0", "#3")]
    assert {Platform.from_environment(each).copy_id for each in nodes} == {"j"}


class Streams:
    """CloudWatch Logs with the events of some streams, in pages of one event."""

    class exceptions:  # as botocore names it
        class ResourceNotFoundException(Exception):
            pass

    def __init__(self, **events: list[tuple[int, str]]) -> None:
        self.events = events

    def get_log_events(self, *, logStreamName: str, nextToken: str = "f/0", **_: Any) -> Any:
        start = int(nextToken.removeprefix("f/"))
        events = self.events[logStreamName][start : start + 1]
        return {
            "events": [{"timestamp": at, "message": message} for at, message in events],
            "nextForwardToken": f"f/{start + len(events)}",
        }


def read(logs: Streams, cursor: str | None, *nodes: tuple[str, ...]) -> tuple[list[str], str]:
    streams = [NodeStreams(number, "/logs", each) for number, each in enumerate(nodes)]
    lines, cursor = read_nodes(cast("Any", logs), "train", streams, cursor)
    return [line.message for line in lines], cursor


def test_lines_of_nodes_are_labelled_and_in_the_order_of_their_times() -> None:
    logs = Streams(a=[(1, "one"), (4, "four")], b=[(2, "two"), (3, "three")])
    lines, cursor = read(logs, None, ("a",), ("b",))
    assert lines == ["one", "[node 1] two", "[node 1] three", "four"]
    logs.events["b"].append((5, "five"))
    assert read(logs, cursor, ("a",), ("b",))[0] == ["[node 1] five"]


def test_a_log_of_nodes_begins_with_the_newest_attempt_and_continues_in_later_ones() -> None:
    logs = Streams(a1=[(1, "old")], b1=[(1, "old")], a2=[(2, "new")], b2=[(3, "new")], a3=[], b3=[])
    lines, cursor = read(logs, None, ("a1", "a2"), ("b1",))
    assert lines == ["new"]  # node 1 has not started in the second attempt
    lines, cursor = read(logs, cursor, ("a1", "a2"), ("b1", "b2"))
    assert lines == ["[node 1] new"]
    logs.events |= {"a3": [(4, "newer")]}
    assert read(logs, cursor, ("a1", "a2", "a3"), ("b1", "b2", "b3"))[0] == ["newer"]


def test_a_node_that_starts_later_is_read_from_its_beginning() -> None:
    logs = Streams(a=[], b=[(1, "hello")])
    lines, cursor = read(logs, None, ("a",))
    assert lines == []
    assert read(logs, cursor, ("a",), ("b",))[0] == ["[node 1] hello"]


T4 = Needs(vcpus=4, memory_mib=12_000, gpu_model="t4", gpu_count=1, nodes=4)
TAGGED = an_environment(tags=NODES_TAG)


@pytest.mark.parametrize(
    ("environment", "changes", "code", "words"),
    [
        (an_environment(), {}, "no-nodes", ["without the tag", "private subnets"]),
        (an_environment(kind="SPOT"), {}, "no-nodes", ["is on spot capacity"]),
        (
            replace(TAGGED, max_vcpus=15),
            {},
            "max-vcpus-too-low",
            ["4 x g4dn.xlarge, has 16", "maxvCpus=16"],
        ),
        (TAGGED, {"limits": {G_QUOTA: 8}}, "quota-too-low", ["4 x g4dn.xlarge has 16 vCPUs"]),
    ],
)
def test_a_waiting_job_on_several_nodes_has_a_reason(
    environment: Any, changes: dict[str, Any], code: str, words: list[str]
) -> None:
    (finding,) = diagnose(waiting(a_queue(environment), needs=T4, **changes))
    assert finding.code == code
    assert all(text in f"{finding.what} {finding.why} {finding.fix}" for text in words)


def test_the_vcpus_of_all_nodes_count_against_those_in_use() -> None:
    used = waiting(a_queue(replace(TAGGED, desired_vcpus=248)), needs=T4)
    assert [finding.code for finding in diagnose(used)] == ["max-vcpus-in-use"]
    assert diagnose(replace(used, needs=replace(T4, nodes=1), age_s=400)) == ()
