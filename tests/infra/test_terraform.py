"""The account made by Terraform: checked, created in the emulator, used, and destroyed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.catalog.disk import Disk
from flowyml_aws.planning.targets import Taint
from flowyml_aws.testing import Emulator
from tests.support.infra import INFRA, NAME, PREFIX, REGION, named, settings
from tests.support.infra_tools import Terraform, tool
from tests.support.rigs import BackendRig
from tests.support.same_account import (
    differences,
    of_plan,
    of_template,
    outputs_of_plan,
    outputs_of_template,
)

pytestmark = [pytest.mark.system, pytest.mark.thorough, pytest.mark.xdist_group("infra-terraform")]

VARIABLES: dict[str, Any] = {
    "name": NAME,
    "families": {
        "cpu": {"capacity": ["on-demand"]},
        "t4": {"labels": {"team": "vision"}, "taints": {"interruptible": "yes:NoSchedule"}},
    },
    "remote_builds": True,
    "force_destroy": True,
    # moto responds with 500 to DescribeSubscribersForNotification; the plan covers the budget.
    "monthly_budget_usd": None,
}
QUEUES = ["cpu", "t4", "t4-spot"]


@pytest.fixture(scope="module")
def applied(terraform: Terraform, emulated: Emulator) -> Iterator[Terraform]:
    """The created account, which the following tests use."""
    (terraform.folder / "terraform.tfvars.json").write_text(json.dumps(VARIABLES))
    terraform.must("apply", "-no-color", "-auto-approve")
    yield terraform
    (terraform.folder / "terraform.tfvars.json").unlink()


@pytest.fixture
def rig(applied: Terraform, emulated: Emulator, tmp_path: Path) -> BackendRig:
    """A project whose only settings are the account's name and an image."""
    aws = {n: v for n, v in emulated.environment.items() if n.startswith("AWS_")}
    aws.update(emulated.credentials(f"{PREFIX}-{REGION}-user"))
    environment = {
        "FLOWYML_AWS_ACCOUNT": NAME,
        "FLOWYML_AWS_IMAGE": emulated.environment["FLOWYML_AWS_IMAGE"],
        "FLOWYML_AWS_POLL_S": "0.1",
    }
    return BackendRig("batch", tmp_path / "project", {**aws, **environment})


def test_the_files_are_formatted(terraform: Terraform) -> None:
    done = subprocess.run(
        [terraform.program, "fmt", "-check", "-recursive", str(INFRA / "terraform")],
        env=dict(terraform.environment),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_modules_are_valid(terraform: Terraform) -> None:
    assert json.loads(terraform.must("validate", "-json"))["diagnostics"] == []


def test_checkov_finds_no_problem_without_a_stated_reason() -> None:
    command = [tool("checkov"), "--directory", str(INFRA / "terraform"), "--skip-download"]
    done = subprocess.run(
        [*command, "--compact", "--output", "json"], capture_output=True, text=True
    )
    report = json.loads(done.stdout)
    failed = [(c["check_id"], c["resource"]) for c in report["results"]["failed_checks"]]
    assert (done.returncode, failed) == (0, [])
    assert report["summary"]["passed"] > 50
    reasons = {c["check_result"]["suppress_comment"] for c in report["results"]["skipped_checks"]}
    assert all(len(reason) > 20 for reason in reasons)


def test_mistakes_in_variables_are_reported_before_anything_is_created(
    terraform: Terraform, tmp_path: Path
) -> None:
    wrong: dict[str, Any] = {
        "name": "Main_account",
        "families": {"t4": {"capacity": ["reserved"], "taints": {"night": "sometimes"}}},
    }
    wrong["families"]["t4"]["volume_gib"] = 20
    system = {"id": "fs-0123456789abcdef0", "mount_name": "$(id)"}
    wrong["families"]["t4"]["fsx_file_systems"] = [system]
    (tmp_path / "wrong.tfvars.json").write_text(json.dumps(wrong))
    done = terraform.run("plan", "-no-color", f"-var-file={tmp_path / 'wrong.tfvars.json'}")
    errors = " ".join(done.stderr.split())
    assert done.returncode == 1
    assert "2 to 18 characters" in errors
    assert "volume_gib must be at least 30" in errors
    assert "fsx_file_systems must be different file systems such as" in errors
    assert "must contain `cpu` with on-demand capacity" in errors
    assert "capacity must be a set of" in errors
    assert "A taint's value must be `[VALUE:]EFFECT`" in errors


def test_a_family_without_an_image_and_an_unknown_family_are_reported(
    terraform: Terraform, tmp_path: Path
) -> None:
    wrong: dict[str, Any] = {"families": {"cpu": {}, "v100": {}, "tpu": {}}}
    (tmp_path / "wrong.tfvars.json").write_text(json.dumps(wrong))
    done = terraform.run("plan", "-no-color", f"-var-file={tmp_path / 'wrong.tfvars.json'}")
    errors = " ".join(done.stderr.split())
    assert done.returncode == 1
    assert "Batch no longer has an image for v100" in errors
    assert "Unknown family tpu" in errors


def test_options_that_leave_no_instance_type_are_reported(
    terraform: Terraform, tmp_path: Path
) -> None:
    for family, message in (
        ({"sizes": [["g4dn"]]}, "Batch prefers their large sizes"),
        ({"max_vcpus": 2}, "less than its smallest instance type"),
        ({"efa": 1}, "require `nodes` in `capacity`"),
        (
            {"efa": 1, "capacity": ["nodes"]},
            "No instance type of t4 within max_vcpus (16) allows efa = 1. Types of the family that "
            "do: g4dn.12xlarge (48 vCPUs).",
        ),
    ):
        wrong: dict[str, Any] = {"families": {"cpu": {}, "t4": family}}
        (tmp_path / "wrong.tfvars.json").write_text(json.dumps(wrong))
        done = terraform.run("plan", "-no-color", f"-var-file={tmp_path / 'wrong.tfvars.json'}")
        assert done.returncode == 1
        assert message in " ".join(done.stderr.replace("│", " ").split())


def test_cdk_creates_the_same_account(planned: dict[str, Any], synthesized: Path) -> None:
    terraform, cdk = of_plan(planned), of_template(json.loads(synthesized.read_text()))
    counts = {kind: len(tables) for kind, tables in cdk.items()}
    assert {kind: len(tables) for kind, tables in terraform.items()} == counts
    assert list(differences(terraform, cdk)) == []


def test_cdk_has_the_same_outputs(planned: dict[str, Any], synthesized: Path) -> None:
    outputs = outputs_of_template(json.loads(synthesized.read_text()))
    expected = outputs_of_plan(planned)
    assert outputs.keys() == expected.keys()
    assert expected["queues"] is not None
    for name, value in expected.items():
        if value is not None:
            assert outputs[name].split(",") == (value if isinstance(value, list) else [value])


def test_the_budget_waits_for_the_permission_to_publish(planned: dict[str, Any]) -> None:
    module = planned["configuration"]["root_module"]["module_calls"]["flowyml"]["module"]
    (budget,) = [r for r in module["resources"] if r["type"] == "aws_budgets_budget"]
    assert budget["depends_on"] == ["aws_sns_topic_policy.alerts"]


def test_a_second_plan_finds_nothing_to_change(applied: Terraform) -> None:
    done = applied.run("plan", "-no-color", "-detailed-exitcode")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_the_accounts_parameter_contains_the_settings_of_clients(
    applied: Terraform, emulated: Emulator
) -> None:
    response = emulated.client("ssm").get_parameter(Name=f"/flowyml-aws/{NAME}")
    builds = {"build_project": f"{PREFIX}-images"}
    assert json.loads(response["Parameter"]["Value"]) == {**settings(QUEUES), **builds}


def test_queues_are_targets_with_labels_and_taints(rig: BackendRig) -> None:
    from flowyml_aws.planning.placement import Placement
    from flowyml_aws.services.connect import account_settings, connect

    with rig.entered():
        services = connect(Placement.of("batch"), account_settings(rig.folder), rig.folder)
        targets = {t.name: t for t in services.targets()}
    assert list(targets) == [f"{PREFIX}-{queue}" for queue in QUEUES]
    spot = targets[f"{PREFIX}-t4-spot"]
    assert spot.capacity == "spot"
    assert spot.labels == {"family": "t4", "team": "vision"}
    assert spot.taints == (Taint("interruptible", "yes", "NoSchedule"),)
    assert spot.instance_types == ("g4dn.xlarge", "g4dn.2xlarge", "g4dn.4xlarge")
    assert spot.disk == Disk(80, local_data_root=True)


def test_the_doctor_reports_no_errors_and_a_pipeline_runs(rig: BackendRig) -> None:
    code, out, err = rig.command("doctor", "--json")
    errors = [finding for finding in json.loads(out)["findings"] if finding["level"] == "error"]
    assert (code, errors) == (0, []), err
    with rig.entered():
        assert rig.pipeline("heavy").run(backend="batch")["size"] == 17 << 20


def test_the_alert_of_a_failed_job_is_delivered(rig: BackendRig, emulated: Emulator) -> None:
    sqs, sns = emulated.client("sqs"), emulated.client("sns")
    inbox = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=inbox, AttributeNames=["QueueArn"])["Attributes"]
    sns.subscribe(TopicArn=named()["topic_arn"], Protocol="sqs", Endpoint=arn["QueueArn"])
    with rig.entered():
        assert not rig.pipeline("failing").run(backend="batch").success
    (message,) = sqs.receive_message(QueueUrl=inbox, MaxNumberOfMessages=10)["Messages"]
    alert = json.loads(json.loads(message["Body"])["Message"])
    assert alert["alert"] == "A Batch job failed"
    assert alert["reason"] == "Essential container in task exited"
    assert emulated.failed_invocations == []


def test_an_account_in_an_existing_vpc_is_created_and_removed(
    terraform: Terraform, emulated: Emulator, tmp_path: Path
) -> None:
    ec2 = emulated.client("ec2")
    subnets = ec2.describe_subnets()["Subnets"]
    (table, *_) = ec2.describe_route_tables()["RouteTables"]
    variables = {
        "name": "second",
        "families": {"cpu": {"capacity": ["on-demand"]}, "t4": {"capacity": ["spot"]}},
        "vpc_id": subnets[0]["VpcId"],
        "subnet_ids": [s["SubnetId"] for s in subnets if s["VpcId"] == subnets[0]["VpcId"]],
        "route_table_ids": [table["RouteTableId"]],
        "sagemaker_kms_key_arns": ["arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"],
        "remote_builds": True,
        "force_destroy": True,
        "monthly_budget_usd": None,
    }
    (tmp_path / "second.tfvars.json").write_text(json.dumps(variables))
    files = (f"-var-file={tmp_path}/second.tfvars.json", f"-state={tmp_path}/second.tfstate")
    terraform.must("apply", "-no-color", "-auto-approve", *files)
    names = names_of(emulated, "flowyml-second")
    assert {"flowyml-second-cpu", "flowyml-second-driver", "flowyml-second-t4-spot"} <= {*names}
    policies = emulated.client("iam").list_role_policies(
        RoleName="flowyml-second-us-east-1-sagemaker"
    )["PolicyNames"]
    assert sorted(policies) == ["sagemaker", "sagemaker-keys"]
    assert len(ec2.describe_subnets()["Subnets"]) == len(subnets)
    terraform.must("destroy", "-no-color", "-auto-approve", *files)
    assert names_of(emulated, "flowyml-second") == []


def names_of(emulated: Emulator, prefix: str) -> list[str]:
    """Return the names of the buckets, queues and roles with a prefix."""
    buckets = [bucket["Name"] for bucket in emulated.client("s3").list_buckets()["Buckets"]]
    queues = emulated.client("batch").describe_job_queues()["jobQueues"]
    roles = [role["RoleName"] for role in emulated.client("iam").list_roles()["Roles"]]
    names = [*buckets, *(queue["jobQueueName"] for queue in queues), *roles]
    return [name for name in names if name.startswith(prefix)]


def test_destroy_removes_everything(applied: Terraform, emulated: Emulator) -> None:
    applied.must("destroy", "-no-color", "-auto-approve")
    assert names_of(emulated, PREFIX) == []
    assert json.loads(applied.must("show", "-json")).get("values") is None
