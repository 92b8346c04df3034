"""Options of jobs on AWS Batch: overrides, parts of the job definition, and own definitions."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.stub import Stubber
from botocore.validate import validate_parameters

from flowyml_aws.aws.batch.definition import DefinitionKind, ensure_kind
from flowyml_aws.aws.batch.own_definition import definition_problems
from flowyml_aws.aws.batch.requests import batch_jobs, submit_request
from flowyml_aws.core.job_options import NO_OPTIONS, JobOptions, Ulimit
from flowyml_aws.core.mounts import Mount
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import PlannedJob
from tests.aws.batch.test_discovery import environment, queue, targets
from tests.aws.batch.test_nodes import IMAGE, a_client, registered_kind
from tests.support.plans import a_job, a_plan, a_record

ROLE = "arn:aws:iam::123456789012:role/training"
FILES = "fs-0123456789abcdef0"
POINT = "fsap-0123456789abcdef0"
NAME = "team-training"
DEFINITIONS = "arn:aws:batch:eu-west-3:123456789012:job-definition"
ALL = JobOptions(
    image="registry/train:1",
    queue="gpu",
    priority=7,
    role=ROLE,
    shared_memory_mib=8192,
    ulimits=(Ulimit("core", 0, 0), Ulimit("memlock", 1024, -1)),
    mounts=(
        Mount("efs", FILES, "/models", "/mnt/data", read_only=True),
        Mount("fsx", FILES, "/a", "/mnt/fast"),
    ),
)


def requests_of(*jobs: PlannedJob) -> list[dict[str, Any]]:
    plan = a_plan(*jobs)
    record = a_record(plan)
    made = batch_jobs(plan, record, "s3://bucket/prefix", "eu-west-3")
    return [dict(submit_request(job, record, "definition", {})) for job in made]


def kind_of(options: JobOptions, **changes: Any) -> DefinitionKind:
    plan = a_plan(a_job("train", options=options, **changes))
    (job,) = batch_jobs(plan, a_record(plan), "s3://bucket/prefix", "eu-west-3")
    return DefinitionKind.of(job)


def container_of(options: JobOptions) -> dict[str, Any]:
    members = registered_kind(kind_of(options))
    shape = a_client().meta.service_model.operation_model("RegisterJobDefinition").input_shape
    validate_parameters(members, shape)
    container: dict[str, Any] = members["containerProperties"]
    return container


def test_a_job_of_a_fair_share_queue_has_a_share_and_a_priority() -> None:
    first, second = requests_of(
        a_job("a", share="flowyml", options=ALL), a_job("b", share="flowyml")
    )
    assert (first["shareIdentifier"], first["schedulingPriorityOverride"]) == ("flowyml", 7)
    assert (second["shareIdentifier"], second["schedulingPriorityOverride"]) == ("flowyml", 0)
    shape = a_client().meta.service_model.operation_model("SubmitJob").input_shape
    validate_parameters(first, shape)


def test_a_job_of_any_other_queue_has_neither() -> None:
    (request,) = requests_of(a_job("a"))
    assert not {"shareIdentifier", "schedulingPriorityOverride"} & request.keys()


def test_the_job_that_joins_parents_has_the_share_of_its_queue() -> None:
    parents = [a_job(f"part-{n}", target="shared", share="flowyml") for n in range(21)]
    total = a_job("total", after=[job.name for job in parents])
    requests = requests_of(*parents, total)
    shares = {request["jobQueue"]: request.get("shareIdentifier") for request in requests}
    assert shares == {"shared": "flowyml", "cpu": None}


def test_a_queue_with_a_scheduling_policy_is_a_fair_share_queue() -> None:
    policy = "arn:aws:batch:eu-west-3:123456789012:scheduling-policy/p"
    queues = [queue("plain", "one"), queue("fair", "one", schedulingPolicyArn=policy)]
    with Stubber(a_client()) as stub:
        found = targets(stub, queues, [environment("one", "m6i.large")])
    assert {target.name: target.share for target in found} == {"plain": None, "fair": "flowyml"}


def test_the_definition_contains_what_a_submission_cannot_override() -> None:
    container, plain = container_of(ALL), container_of(NO_OPTIONS)
    assert container["image"] == "registry/train:1"
    assert container["jobRoleArn"] == ROLE
    assert container["executionRoleArn"] == IMAGE.execution_role
    assert container["linuxParameters"] == {"sharedMemorySize": 8192, "initProcessEnabled": True}
    assert container["ulimits"] == [
        {"name": "core", "softLimit": 0, "hardLimit": 0},
        {"name": "memlock", "softLimit": 1024, "hardLimit": -1},
    ]
    assert container["volumes"] == [
        {
            "name": "mount-0",
            "efsVolumeConfiguration": {
                "fileSystemId": FILES,
                "rootDirectory": "/models",
                "transitEncryption": "ENABLED",
                "authorizationConfig": {"iam": "ENABLED"},
            },
        },
        {"name": "mount-1", "host": {"sourcePath": f"/mnt/fsx/{FILES}/a"}},
    ]
    assert container["mountPoints"] == [
        {"sourceVolume": "mount-0", "containerPath": "/mnt/data", "readOnly": True},
        {"sourceVolume": "mount-1", "containerPath": "/mnt/fast", "readOnly": False},
    ]
    assert not {"ulimits", "volumes", "mountPoints"} & plain.keys()
    assert plain["image"] == IMAGE.image


def test_an_access_point_is_mounted_with_the_root_that_it_has() -> None:
    (volume,) = container_of(JobOptions(mounts=(Mount("efs", FILES, "/", "/a", POINT),)))["volumes"]
    configuration = volume["efsVolumeConfiguration"]
    assert configuration["rootDirectory"] == "/"
    assert configuration["authorizationConfig"] == {"iam": "ENABLED", "accessPointId": POINT}


@pytest.mark.parametrize("option", ["image", "role", "shared_memory_mib", "ulimits", "mounts"])
def test_each_of_them_is_part_of_the_name_of_the_definition(option: str) -> None:
    one = JobOptions(**{option: getattr(ALL, option)})
    names = {registered_kind(kind_of(o))["jobDefinitionName"] for o in (one, NO_OPTIONS)}
    assert len(names) == 2


def test_the_queue_and_the_priority_are_not() -> None:
    assert kind_of(JobOptions(queue="gpu", priority=7)) == kind_of(NO_OPTIONS)


def test_a_definition_without_options_keeps_its_name() -> None:
    # Clients of earlier versions have registered it.
    kind = DefinitionKind(1024, (), False, 0)
    assert registered_kind(kind)["jobDefinitionName"] == "flowyml-aws-5e1df12646770e8e"


def test_the_ulimits_of_a_step_replace_those_of_adapters_by_name() -> None:
    four = Needs(nodes=4)
    options = JobOptions(ulimits=(Ulimit("core", 0, 0),))
    members = registered_kind(kind_of(options, needs=four, efa_interfaces=1))
    (nodes,) = members["nodeProperties"]["nodeRangeProperties"]
    assert nodes["container"]["ulimits"] == [
        {"name": "memlock", "softLimit": -1, "hardLimit": -1},
        {"name": "core", "softLimit": 0, "hardLimit": 0},
    ]


def described(*definitions: dict[str, Any], **changes: Any) -> list[str]:
    """Return the problems of a job whose definition has these active revisions."""
    batch = a_client()
    options = JobOptions(job_definition=changes.pop("name", NAME))
    with Stubber(batch) as answers:
        answers.add_response(
            "describe_job_definitions",
            {"jobDefinitions": list(definitions)},
            {"jobDefinitionName": NAME, "status": "ACTIVE"},
        )
        found = definition_problems(batch, [a_job("train", options=options, **changes)])
    return [str(problem) for problem in found]


def a_definition(revision: int = 1, **members: Any) -> dict[str, Any]:
    container = {"image": "i", "command": ["true"]}
    return {
        "jobDefinitionName": NAME,
        "jobDefinitionArn": f"{DEFINITIONS}/{NAME}:{revision}",
        "revision": revision,
        "status": "ACTIVE",
        "type": "container",
        "containerProperties": container,
        **members,
    }


def test_a_job_with_an_own_definition_registers_none() -> None:
    batch = a_client()
    with Stubber(batch):  # no call is expected
        assert ensure_kind(batch, IMAGE, kind_of(JobOptions(job_definition=NAME))) == NAME


@pytest.mark.parametrize(
    "name",
    [NAME, f"{NAME}:2", f"{DEFINITIONS}/{NAME}:2"],
)
def test_an_active_definition_is_found_by_name_revision_and_arn(name: str) -> None:
    assert described(a_definition(1), a_definition(2), name=name) == []


def test_a_definition_without_the_active_revision_is_an_error() -> None:
    (none,) = described()
    assert f"No active job definition '{NAME}'" in none
    (other,) = described(a_definition(1), name=f"{NAME}:2")
    assert f"No active job definition '{NAME}:2'" in other


@pytest.mark.parametrize(
    ("members", "changes", "reason"),
    [
        ({}, {"needs": Needs(nodes=2)}, "it is of type container, and the job has several nodes"),
        ({"type": "multinode"}, {}, "it is of type multinode, and the job has one machine"),
        ({"platformCapabilities": ["FARGATE"]}, {}, "it is for Fargate"),
        ({}, {"secrets": {"TOKEN": "my-parameter"}}, "it has no secrets TOKEN"),
    ],
)
def test_a_definition_that_cannot_run_the_job_is_an_error(
    members: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    (problem,) = described(a_definition(**members), **changes)
    assert problem.startswith(f"Job definition '{NAME}' can't run job 'train'")
    assert reason in problem


def test_the_nodes_of_an_own_definition_are_one_range() -> None:
    def with_ranges(*ranges: str, **container: Any) -> list[str]:
        nodes = [{"targetNodes": r, "container": {"image": "i", **container}} for r in ranges]
        properties = {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": nodes}
        definition = a_definition(type="multinode", nodeProperties=properties)
        del definition["containerProperties"]
        return described(definition, needs=Needs(nodes=2), efa_interfaces=1)

    devices = {"devices": [{"hostPath": "/dev/infiniband/uverbs0"}]}
    assert with_ranges("0:", linuxParameters=devices) == []
    assert "its nodes are not one range '0:'" in with_ranges("0:0", "1:")[0]
    assert "no devices of Elastic Fabric Adapters" in with_ranges("0:")[0]


def test_a_definition_on_kubernetes_is_an_error() -> None:
    definition = a_definition(eksProperties={})
    del definition["containerProperties"]
    (problem,) = described(definition)
    assert "its containers are not in containerProperties" in problem
