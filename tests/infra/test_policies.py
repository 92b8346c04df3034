"""The roles' policies, compared with the recorded requests of runs: none denied, none unused."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flowyml_aws.cli import main
from flowyml_aws.run import Run
from flowyml_aws.services.connect import find_run
from flowyml_aws.submission import garbage
from flowyml_aws.submission.record import RunState, read_outcome
from flowyml_aws.testing import Emulator
from flowyml_aws.testing.calls import ApiRequest
from flowyml_aws.testing.iam.evaluation import Principal, decide
from flowyml_aws.testing.iam.needs import Need, list_need, needs_of
from flowyml_aws.testing.iam.policies import Policy
from tests.support.infra import ACCOUNT, BUCKET, NAME, PREFIX, REGION, policy, settings
from tests.support.rigs import BackendRig, eventually, raised_emulator

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("infra-policies")]

TAG = "flowyml-aws:run"
CLIENT = "emulator"
CALLERS = {
    CLIENT: "user",
    f"{PREFIX}-job": "job",
    f"{PREFIX}-driver": "driver",
    f"{PREFIX}-sagemaker": "sagemaker",
}
"""The callers that sign requests in the emulator, with the policy of each."""

UNUSED_IN_EMULATOR = {
    **dict.fromkeys(
        ("ec2:DescribeInstanceTypes", "ec2:DescribeSpotPriceHistory", "pricing:GetProducts"),
        "`catalog refresh` reads all of their pages: tests/cli/test_catalog.py",
    ),
    "batch:ListJobs": "a client replaces one that died while it submitted jobs",
    "batch:GetJobQueueSnapshot": "diagnosis of jobs that wait for minutes",
    "ec2:DescribeInstances": "usage of a quota, in the diagnosis of jobs that wait for minutes",
    "s3:AbortMultipartUpload": "failed uploads are aborted: tests of the store",
    # Calls of the platform with the role: the emulator has no registry, and writes logs itself.
    "ecr:BatchCheckLayerAvailability": "the platform pulls the image; a push checks its layers",
    "ecr:BatchGetImage": "the platform pulls the image; a push checks its tag",
    "ecr:GetDownloadUrlForLayer": "the platform pulls the image",
    "logs:CreateLogGroup": "SageMaker writes the log",
    "logs:CreateLogStream": "the platform writes the log",
    "logs:DescribeLogStreams": "SageMaker writes the log",
    "logs:PutLogEvents": "the platform writes the log",
    # The protocol of Docker registries, which the emulator does not have.
    "ecr:GetAuthorizationToken": "docker signs in",
    "ecr:CompleteLayerUpload": "docker pushes",
    "ecr:InitiateLayerUpload": "docker pushes",
    "ecr:PutImage": "docker pushes",
    "ecr:UploadLayerPart": "docker pushes",
}
"""Grants that no run in the emulator uses, with their purpose."""
UNUSED_BY_CALLER = {
    f"{PREFIX}-driver": dict.fromkeys(
        ("batch:TerminateJob", "sagemaker:StopTrainingJob"),
        "a run that is cancelled while it submits",
    ),
}


class Session(NamedTuple):
    """The recorded requests of one session that uses every command."""

    aws: Emulator
    requests: list[ApiRequest]

    def needs(self, caller: str) -> set[Need]:
        requests = (r for r in self.requests if r.caller == caller)
        return {need for request in requests for need in needs_of_recorded(request)}


def needs_of_recorded(request: ApiRequest) -> Iterator[Need]:
    # The backend's tests check that every job has the tag.
    yield from needs_of(request, ACCOUNT, REGION, lambda arn: {TAG: "a run"})
    if request.call.service == "s3" and request.status == 404:
        yield list_need(request.call.resource.partition("/")[0])


def role(name: str, *documents: dict[str, Any]) -> Principal:
    """Return a session of a role of `infra/`, with other policies than its own if there are any."""
    policies = documents or (policy(name),)
    return Principal(
        f"arn:aws:sts::{ACCOUNT}:assumed-role/{PREFIX}-{name}/session",
        ACCOUNT,
        identity=tuple(Policy.parse(document, name) for document in policies),
    )


def grants(name: str) -> dict[tuple[str, str], Principal]:
    """Return sessions that have only one action on one resource of a policy of `infra/`."""
    return {
        (action, resource): role(
            name,
            {
                "Version": "2012-10-17",
                "Statement": {**statement, "Action": action, "Resource": resource},
            },
        )
        for statement in policy(name)["Statement"]
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def make_account(aws: Emulator) -> None:
    """Create the resources of infra/ that clients and jobs use."""
    aws.client("s3").create_bucket(Bucket=BUCKET)
    batch, iam = aws.client("batch"), aws.client("iam")
    (environment,) = batch.describe_compute_environments(
        computeEnvironments=["flowyml-emulator-cpu"]
    )["computeEnvironments"]
    cpu = environment["computeEnvironmentArn"]
    batch.create_job_queue(
        jobQueueName=f"{PREFIX}-cpu",
        state="ENABLED",
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": cpu}],
    )
    batch.create_job_queue(
        jobQueueName=f"{PREFIX}-driver",
        state="ENABLED",
        priority=10,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": cpu}],
    )
    for role, trust in (
        *((role, "tasks") for role in ("job", "execution", "driver")),
        ("sagemaker", "sagemaker"),
    ):
        iam.create_role(
            RoleName=f"{PREFIX}-{role}",
            AssumeRolePolicyDocument=json.dumps(policy(f"trust-{trust}")),
        )
    aws.client("logs").create_log_group(logGroupName=f"/flowyml-aws/{NAME}")
    aws.client("ecr").create_repository(repositoryName=PREFIX)
    aws.client("ssm").put_parameter(
        Name=f"/flowyml-aws/{NAME}", Type="String", Value=json.dumps(settings(["cpu"]))
    )
    aws.advance(5)  # the queues are VALID, and the roles are visible


def command(*arguments: str) -> int:
    """Run `flowyml-aws` in this process, and return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["flowyml-aws", *arguments])
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with raised_emulator(keep_requests=True) as aws:
        make_account(aws)
        aws.requests.clear()
        credentials = {n: v for n, v in aws.environment.items() if not n.startswith("FLOWYML_")}
        image = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{PREFIX}:1"
        environment = {
            "FLOWYML_AWS_ACCOUNT": NAME,
            "FLOWYML_AWS_IMAGE": image,
            "FLOWYML_AWS_POLL_S": "0.1",
        }
        folder = tmp_path_factory.mktemp("policies")
        environment["XDG_CACHE_HOME"] = str(folder / "cache")  # no other test uses the new catalog
        rig = BackendRig("batch", folder / "project", {**credentials, **environment})
        with rig.entered() as patch:
            # No other client starts a run during the garbage collection.
            patch.setattr(garbage, "SETTLE_S", 0.0)
            use_every_command(rig)
        yield Session(aws, list(aws.requests))


def is_cancelled(run: Run) -> bool:
    return run.status().state is RunState.CANCELLED


def use_every_command(rig: BackendRig) -> None:
    """Use every command that sends requests to AWS once."""
    command("doctor")
    # First, so that the driver has to register the job definitions on Batch.
    both = {"first": "sagemaker", "*": "batch"}
    run = rig.pipeline("waiting").submit(backend=both, detach=True)
    Path(f"{rig.trace}.go").touch()
    # A client that reads the status may record the outcome; here, the driver must record it.
    store = find_run(run.id).store
    eventually(lambda: read_outcome(store, run.id) is not None, "the driver's outcome")
    assert run.status().state is RunState.SUCCEEDED
    command("doctor", "--run", run.id)
    command("logs", run.id)
    command("get", run.id, "d")
    assert command("run", str(rig.write("heavy")), "--backend", "batch") == 0
    Path(f"{rig.trace}.go").unlink()
    for backend in ("batch", "sagemaker"):
        rig.trace.unlink()
        run = rig.pipeline("waiting").submit(backend=backend, cache=False)
        eventually(lambda: "wait" in rig.ran(), "the first job waiting")
        command("cancel", run.id)
        eventually(partial(is_cancelled, run), "the end of the run, with its bills")
    command("runs")
    command("cache", "ls")
    command("gc", "--older-than", "0d")


# Recording the requests takes half a minute.
recorded = pytest.mark.thorough


@recorded
@pytest.mark.parametrize("caller", CALLERS)
def test_no_request_of_a_run_is_denied(session: Session, caller: str) -> None:
    sender = role(CALLERS[caller])
    needs = session.needs(caller)
    assert needs, f"{caller} sent no requests"
    decisions = [decide(need, sender) for need in needs]
    assert [d.message for d in decisions if not d.is_allowed] == []


@recorded
@pytest.mark.parametrize("caller", CALLERS)
def test_every_grant_is_used_by_a_run(session: Session, caller: str) -> None:
    needs = session.needs(caller)
    unused = {
        grant
        for grant, sender in grants(CALLERS[caller]).items()
        if not any(decide(need, sender).is_allowed for need in needs)
    }
    explained = {**UNUSED_IN_EMULATOR, **UNUSED_BY_CALLER.get(caller, {})}
    # Jobs write layers when they install `requirements`, which tests/runtime covers.
    layers = f"arn:aws:s3:::{BUCKET}/flowyml/layers/*"
    assert {(a, r) for a, r in unused if a not in explained and r != layers} == set()


@recorded
def test_every_caller_has_a_role(session: Session) -> None:
    assert {request.caller for request in session.requests} == set(CALLERS)


def test_a_job_can_write_only_results_artifacts_and_cache_entries() -> None:
    job = role("job")

    def may(action: str, resource: str) -> bool:
        return decide(Need(action, resource), job).is_allowed

    store = f"arn:aws:s3:::{BUCKET}/flowyml"
    assert may("s3:PutObject", f"{store}/runs/r/jobs/train/result.json")
    assert may("s3:PutObject", f"{store}/artifacts/ab/abcd")
    assert may("s3:PutObject", f"{store}/cache/k.json")
    assert may("s3:PutObject", f"{store}/layers/x.json")
    for key in ("runs/r/plan.json", "runs/r/run.json", "code/x", "payloads/x", "history/x"):
        assert not may("s3:PutObject", f"{store}/{key}")
    assert not may("s3:PutObject", f"arn:aws:s3:::{BUCKET}/other")
    assert not may("s3:PutObject", "arn:aws:s3:::other/flowyml/artifacts/ab/abcd")
    assert not may("s3:DeleteObject", f"{store}/artifacts/ab/abcd")


def test_roles_can_be_passed_only_to_their_services() -> None:
    passed = settings([])["sagemaker_role"]
    for service, allowed in (("sagemaker", True), ("ecs-tasks", False), ("lambda", False)):
        need = Need("iam:PassRole", passed, {"iam:PassedToService": f"{service}.amazonaws.com"})
        assert decide(need, role("user")).is_allowed is allowed


@pytest.mark.parametrize("caller", ["user", "driver"])
def test_only_jobs_with_the_tag_of_a_run_can_be_terminated(caller: str) -> None:
    job = f"arn:aws:batch:{REGION}:{ACCOUNT}:job/any"
    tag = {"aws:ResourceTag/flowyml-aws:run": "a run"}
    assert decide(Need("batch:TerminateJob", job, tag), role(caller)).is_allowed
    assert not decide(Need("batch:TerminateJob", job), role(caller)).is_allowed


@pytest.mark.parametrize("name", ["user", "driver", "job", "execution", "sagemaker"])
def test_policies_are_within_the_size_limits_of_iam(name: str) -> None:
    # IAM's limits without white space: 6,144 characters for a managed policy, 10,240 for all
    # inline policies of a role.
    limit = 6144 if name == "user" else 10240
    assert len(json.dumps(policy(name), separators=(",", ":"))) < limit
