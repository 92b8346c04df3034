"""The policies of `infra/`: what they allow, and that every command works with them.

The tests of the whole suite run under these policies; `tests/support/permissions.py` reports a
grant that none of them uses.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.artifacts.layout import REWRITTEN, is_write_once
from flowyml_aws.aws.registry import DOCKER_MANIFEST
from flowyml_aws.cli import main
from flowyml_aws.client.run import Run
from flowyml_aws.services.connect import find_run
from flowyml_aws.submission import garbage
from flowyml_aws.submission.record import RunState, read_outcome
from flowyml_aws.testing.iam.evaluation import Principal, decide
from flowyml_aws.testing.iam.needs import Need
from flowyml_aws.testing.iam.policies import Policy
from tests.support.infra import ACCOUNT, BUCKET, PREFIX, REGION, policy, settings
from tests.support.rigs import BackendRig, eventually, raised_emulator

pytestmark = pytest.mark.system


def role(name: str, *documents: dict[str, Any]) -> Principal:
    """Return a session of a role of `infra/`, with other policies than its own if there are any."""
    policies = documents or (policy(name),)
    return Principal(
        f"arn:aws:sts::{ACCOUNT}:assumed-role/{PREFIX}-{REGION}-{name}/session",
        ACCOUNT,
        identity=tuple(Policy.parse(document, name) for document in policies),
    )


def command(*arguments: str) -> int:
    """Run `flowyml-aws` in this process, and return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["flowyml-aws", *arguments])
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


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


@pytest.mark.thorough  # takes half a minute
def test_no_command_needs_a_permission_that_its_caller_lacks(tmp_path: Path) -> None:
    with raised_emulator() as aws:
        aws.client("ecr").put_image(
            repositoryName="flowyml-emulator",
            imageManifest="{}",
            imageManifestMediaType=DOCKER_MANIFEST,
            imageTag="1",
        )
        credentials = {n: v for n, v in aws.environment.items() if not n.startswith("FLOWYML_")}
        environment = {
            "FLOWYML_AWS_ACCOUNT": "emulator",
            "FLOWYML_AWS_IMAGE": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/flowyml-emulator:1",
            "FLOWYML_AWS_POLL_S": "0.2",
        }
        rig = BackendRig("batch", tmp_path / "project", {**credentials, **environment})
        with rig.entered() as patch:
            # No other client starts a run during the garbage collection.
            patch.setattr(garbage, "SETTLE_S", 0.0)
            use_every_command(rig)
        assert [str(denial) for denial in aws.guard.denials] == []
        assert {"user", "job", "driver", "sagemaker", "execution"} == {
            name.removeprefix("flowyml-emulator-") for name in aws.guard.used
        }


def test_a_job_can_write_only_results_artifacts_and_cache_entries() -> None:
    job = role("job")

    def may(action: str, resource: str) -> bool:
        return decide(Need(action, resource, {"s3:if-none-match": "*"}), job).is_allowed

    store = f"arn:aws:s3:::{BUCKET}/flowyml"
    assert may("s3:PutObject", f"{store}/runs/r/jobs/train/result.json")
    assert may("s3:PutObject", f"{store}/artifacts/ab/abcd")
    assert may("s3:PutObject", f"{store}/cache/k.json")
    assert may("s3:PutObject", f"{store}/layers/x.json")
    assert may("s3:PutObject", f"{store}/uses/artifacts/ab/abcd")
    for key in ("runs/r/plan.json", "runs/r/run.json", "code/x", "payloads/x", "history/x"):
        assert not may("s3:PutObject", f"{store}/{key}")
    assert not may("s3:PutObject", f"arn:aws:s3:::{BUCKET}/other")
    assert not may("s3:PutObject", "arn:aws:s3:::other/flowyml/artifacts/ab/abcd")
    assert not may("s3:DeleteObject", f"{store}/artifacts/ab/abcd")


def test_a_training_job_can_delete_only_its_checkpoints() -> None:
    def may(key: str) -> bool:
        resource = f"arn:aws:s3:::{BUCKET}/flowyml/{key}"
        return decide(Need("s3:DeleteObject", resource), role("sagemaker")).is_allowed

    assert may("runs/r/jobs/train/checkpoints/epoch-1.pt")
    for key in ("runs/r/jobs/train/result.json", "artifacts/ab/abcd", "cache/k.json"):
        assert not may(key)


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


@pytest.mark.parametrize(
    ("action", "resource", "key"),
    [
        ("ecs:ExecuteCommand", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/c/t", "aws:ResourceTag"),
        ("ecs:DescribeTasks", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/c/t", "aws:ResourceTag"),
        ("ssm:StartSession", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-1", "ssm:resourceTag"),
    ],
)
def test_shells_can_be_opened_only_by_the_option_and_in_jobs_of_runs(
    action: str, resource: str, key: str
) -> None:
    of_a_run = Need(action, resource, {f"{key}/flowyml-aws:run": "a run"})
    user = role("user", policy("user"), policy("optional/sessions"))
    assert decide(of_a_run, user).is_allowed
    assert not decide(Need(action, resource), user).is_allowed
    assert not decide(of_a_run, role("user")).is_allowed


@pytest.mark.parametrize("caller", ["user", "driver"])
def test_children_of_array_jobs_which_have_no_tags_can_be_terminated(caller: str) -> None:
    child = f"arn:aws:batch:{REGION}:{ACCOUNT}:job/any:3"
    assert decide(Need("batch:TerminateJob", child), role(caller)).is_allowed


@pytest.mark.parametrize("name", ["user", "driver", "job", "execution", "sagemaker"])
def test_policies_are_within_the_size_limits_of_iam(name: str) -> None:
    # IAM's limits without white space: 6,144 characters for a managed policy, 10,240 for all
    # inline policies of a role.
    limit = 6144 if name == "user" else 10240
    assert len(json.dumps(policy(name), separators=(",", ":"))) < limit


def resources(name: str, sid: str) -> set[str]:
    """Return the resources of a statement, relative to the store."""
    (statement,) = (s for s in policy(name)["Statement"] if s["Sid"] == sid)
    listed = statement["Resource"]
    texts = [listed] if isinstance(listed, str) else listed
    return {text.removeprefix(f"arn:aws:s3:::{BUCKET}/flowyml/") for text in texts}


@pytest.mark.parametrize("name", ["user", "driver", "job", "sagemaker"])
def test_only_documents_that_change_by_design_can_be_replaced(name: str) -> None:
    assert resources(name, "RewriteWhatChanges") <= {*REWRITTEN}
    others = [
        statement
        for statement in policy(name)["Statement"]
        if "s3:PutObject" in statement["Action"] and statement["Sid"] != "RewriteWhatChanges"
    ]
    assert others
    for statement in others:
        assert statement["Condition"] in (
            {"Null": {"s3:if-none-match": "false"}},
            {"Bool": {"s3:ObjectCreationOperation": "false"}},
        )


def test_the_layout_names_every_document_that_some_role_may_replace() -> None:
    roles = ("user", "driver", "job", "sagemaker")
    assert set().union(*(resources(r, "RewriteWhatChanges") for r in roles)) == {*REWRITTEN}


WRITTEN_ONCE = [
    ("user", "runs/r/run.json"),
    ("user", "runs/r/plan.json"),
    ("user", "runs/r/outcome.json"),
    ("user", "runs/r/jobs/train/spec.json"),
    ("user", "payloads/ab"),
    ("user", "code/ab.tar.zst"),
    ("driver", "runs/r/outcome.json"),
    *(
        (role, f"runs/r/jobs/train/{name}")
        for role in ("job", "sagemaker")
        for name in ("result.json", "anything")
    ),
    *(
        (role, key)
        for role in ("job", "sagemaker")
        for key in ("artifacts/ab/abcd", "layers/x.json")
    ),
]


@pytest.mark.parametrize(("name", "key"), WRITTEN_ONCE)
def test_an_object_that_is_written_once_can_only_be_created(name: str, key: str) -> None:
    resource = f"arn:aws:s3:::{BUCKET}/flowyml/{key}"

    def may(**context: str) -> bool:
        keys = {f"s3:{n.replace('_', '-')}": value for n, value in context.items()}
        created = {"s3:ObjectCreationOperation": "true"}
        return decide(Need("s3:PutObject", resource, {**created, **keys}), role(name)).is_allowed

    assert may(if_none_match="*")
    assert not may()
    assert not may(if_match="an etag")
    assert is_write_once(key) or key.endswith("/anything")


@pytest.mark.parametrize("name", ["user", "job", "sagemaker"])
def test_parts_of_a_large_artifact_need_no_condition_but_its_completion_does(name: str) -> None:
    resource = f"arn:aws:s3:::{BUCKET}/flowyml/artifacts/ab/abcd"

    def may(**context: str) -> bool:
        keys = {f"s3:{name}": value for name, value in context.items()}
        return decide(Need("s3:PutObject", resource, keys), role(name)).is_allowed

    assert may(ObjectCreationOperation="false")
    assert not may(ObjectCreationOperation="true")
