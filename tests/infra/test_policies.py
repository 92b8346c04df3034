"""The roles' policies against what runs really ask of AWS: nothing denied, nothing for nobody."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from flowyml_aws.cli import main
from flowyml_aws.connect import find_run
from flowyml_aws.run import Run
from flowyml_aws.submission import garbage
from flowyml_aws.submission.record import RunState, read_outcome
from flowyml_aws.testing import Emulator
from flowyml_aws.testing.calls import ApiRequest
from tests.support.iam import Need, Policy, needs_of
from tests.support.infra import ACCOUNT, BUCKET, NAME, PREFIX, REGION, policy, settings
from tests.support.places import Place, eventually

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("infra-policies")]

CLIENT = "emulator"
CALLERS = {
    CLIENT: "user",
    f"{PREFIX}-job": "job",
    f"{PREFIX}-driver": "driver",
    f"{PREFIX}-sagemaker": "sagemaker",
}
"""Who signs requests in the emulator, and the policy that they have."""

UNSEEN = {
    **dict.fromkeys(
        ("ec2:DescribeInstanceTypes", "ec2:DescribeSpotPriceHistory", "pricing:GetProducts"),
        "`catalog refresh` asks all pages of them: tests/cli/test_catalog.py",
    ),
    "batch:ListJobs": "a client that died while it submitted is followed by another",
    "batch:GetJobQueueSnapshot": "asked about jobs that wait for minutes",
    "ec2:DescribeInstances": "what is used of a quota, asked about jobs that wait for minutes",
    "s3:AbortMultipartUpload": "tests of the store abort uploads that fail",
    # The platform's own calls with the role: the emulator has no registry, and writes logs itself.
    "ecr:BatchCheckLayerAvailability": "the platform pulls the image; a push asks what is there",
    "ecr:BatchGetImage": "the platform pulls the image; a push asks what is there",
    "ecr:GetDownloadUrlForLayer": "the platform pulls the image",
    "logs:CreateLogGroup": "SageMaker writes the log",
    "logs:CreateLogStream": "the platform writes the log",
    "logs:DescribeLogStreams": "SageMaker writes the log",
    "logs:PutLogEvents": "the platform writes the log",
    # Docker's protocol, which the emulator has no registry for.
    "ecr:GetAuthorizationToken": "docker signs in",
    "ecr:CompleteLayerUpload": "docker pushes",
    "ecr:InitiateLayerUpload": "docker pushes",
    "ecr:PutImage": "docker pushes",
    "ecr:UploadLayerPart": "docker pushes",
}
"""Grants that no run in the emulator uses, with what does."""
UNSEEN_OF = {
    f"{PREFIX}-driver": {"sagemaker:StopTrainingJob": "a run that is cancelled while it submits"},
}


class Session(NamedTuple):
    """A day at the keyboard."""

    aws: Emulator
    requests: list[ApiRequest]

    def needs(self, caller: str) -> set[Need]:
        made = (r for r in self.requests if r.caller == caller)
        return {need for request in made for need in needs_of(request, ACCOUNT, REGION)}


def make_account(aws: Emulator) -> None:
    """What infra/ makes, as far as clients and jobs meet it."""
    aws.client("s3").create_bucket(Bucket=BUCKET)
    batch, iam = aws.client("batch"), aws.client("iam")
    (environment,) = batch.describe_compute_environments(computeEnvironments=["cpu"])[
        "computeEnvironments"
    ]
    cpu = environment["computeEnvironmentArn"]
    batch.create_job_queue(
        jobQueueName=f"{PREFIX}-cpu",
        state="ENABLED",
        priority=1,
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


def command(*arguments: str) -> int:
    """The exit code of `flowyml-aws`, run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["flowyml-aws", *arguments])
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with Emulator(keep_requests=True) as aws:
        make_account(aws)
        aws.requests.clear()
        ours = {n: v for n, v in aws.environment.items() if not n.startswith("FLOWYML_")}
        image = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{PREFIX}:1"
        given = {
            "FLOWYML_AWS_ACCOUNT": NAME,
            "FLOWYML_AWS_IMAGE": image,
            "FLOWYML_AWS_POLL_S": "0.1",
        }
        folder = tmp_path_factory.mktemp("policies")
        given["XDG_CACHE_HOME"] = str(folder / "cache")  # the refreshed catalog is for nobody else
        place = Place("batch", folder / "project", {**ours, **given})
        with place.entered() as patch:
            # No other client takes anything while garbage is collected.
            patch.setattr(garbage, "SETTLE_S", 0.0)
            spend_a_day(place)
        yield Session(aws, list(aws.requests))


def is_cancelled(run: Run) -> bool:
    return run.status().state is RunState.CANCELLED


def spend_a_day(place: Place) -> None:
    """All that reaches AWS, once."""
    command("doctor")
    # First, so that its driver finds no definition of the jobs on Batch.
    both = {"first": "sagemaker", "*": "batch"}
    run = place.pipeline("waiting").submit(both, detach=True)
    Path(f"{place.trace}.go").touch()
    # Who looks at a run may be the one that notes its end: here that is the driver's to do.
    store = find_run(run.id).store
    eventually(lambda: read_outcome(store, run.id) is not None, "the driver noting the end")
    assert run.status().state is RunState.SUCCEEDED
    command("doctor", "--run", run.id)
    command("logs", run.id)
    command("get", run.id, "d")
    assert command("run", str(place.write("heavy")), "--backend", "batch") == 0
    Path(f"{place.trace}.go").unlink()
    for backend in ("batch", "sagemaker"):
        place.trace.unlink()
        run = place.pipeline("waiting").submit(backend, cache=False)
        eventually(lambda: "wait" in place.ran(), "the first job waiting")
        command("cancel", run.id)
        eventually(partial(is_cancelled, run), "the end, and what it costs")
    command("runs")
    command("cache", "ls")
    command("gc", "--older-than", "0d")


# Recording what runs ask of AWS takes half a minute.
recorded = pytest.mark.thorough


@recorded
@pytest.mark.parametrize("caller", CALLERS)
def test_nothing_that_a_run_asks_is_denied(session: Session, caller: str) -> None:
    granted = Policy(policy(CALLERS[caller]))
    needs = session.needs(caller)
    assert needs, f"{caller} asked for nothing at all"
    denied = {need for need in needs if not granted.grants_used(need)}
    assert denied == set()


@recorded
@pytest.mark.parametrize("caller", CALLERS)
def test_nothing_is_granted_that_no_run_uses(session: Session, caller: str) -> None:
    granted = Policy(policy(CALLERS[caller]))
    used = {grant for need in session.needs(caller) for grant in granted.grants_used(need)}
    unused = granted.grants - used
    explained = {**UNSEEN, **UNSEEN_OF.get(caller, {})}
    # Jobs install `requirements` from a package index: tests/runtime has them do it.
    layers = f"arn:aws:s3:::{BUCKET}/flowyml/layers/*"
    assert {(a, r) for a, r in unused if a not in explained and r != layers} == set()


@recorded
def test_every_caller_has_a_role(session: Session) -> None:
    assert {request.caller for request in session.requests} == set(CALLERS)


def test_a_job_writes_only_below_the_run_prefixes_of_its_bucket() -> None:
    job = Policy(policy("job"))

    def may(action: str, resource: str) -> bool:
        return bool(job.grants_used(Need(action, resource)))

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


def test_roles_are_passed_to_their_services_only() -> None:
    user = Policy(policy("user"))
    role = settings([])["sagemaker_role"]
    for service, allowed in (("sagemaker", True), ("ecs-tasks", False), ("lambda", False)):
        need = Need("iam:PassRole", role, {"iam:PassedToService": f"{service}.amazonaws.com"})
        assert bool(user.grants_used(need)) is allowed


def test_jobs_without_a_run_s_tag_can_t_be_ended() -> None:
    user = Policy(policy("user"))
    job = f"arn:aws:batch:{REGION}:{ACCOUNT}:job/any"
    assert not user.grants_used(Need("batch:TerminateJob", job))


@pytest.mark.parametrize("name", ["user", "driver", "job", "execution", "sagemaker"])
def test_a_policy_fits_in_what_iam_takes(name: str) -> None:
    # 6,144 characters of a managed policy, 10,240 of all a role's own, without white space.
    most = 6144 if name == "user" else 10240
    assert len(json.dumps(policy(name), separators=(",", ":"))) < most
