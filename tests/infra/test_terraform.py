"""Terraform's account: checked, made in the emulator, used, and removed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.planning.targets import Taint
from flowyml_aws.testing import Emulator
from tests.support.infra import BUCKET, INFRA, NAME, PREFIX, settings
from tests.support.infra_tools import Terraform, tool
from tests.support.places import Place
from tests.support.same_account import differences, of_plan, of_template

pytestmark = [pytest.mark.system, pytest.mark.thorough, pytest.mark.xdist_group("infra-terraform")]

CHOSEN: dict[str, Any] = {
    "name": NAME,
    "families": {
        "cpu": {"capacity": ["on-demand"]},
        "t4": {"labels": {"team": "vision"}, "taints": {"interruptible": "yes:NoSchedule"}},
    },
    "force_destroy": True,
    # moto answers 500 to DescribeSubscribersForNotification; what the budget is, the plan tells.
    "monthly_budget_usd": None,
}
QUEUES = ["cpu", "t4", "t4-spot"]


@pytest.fixture(scope="module")
def applied(terraform: Terraform, emulated: Emulator) -> Iterator[Terraform]:
    """The account, made; the tests that follow use it."""
    (terraform.folder / "terraform.tfvars.json").write_text(json.dumps(CHOSEN))
    terraform.must("apply", "-no-color", "-auto-approve")
    yield terraform
    (terraform.folder / "terraform.tfvars.json").unlink()


@pytest.fixture
def place(applied: Terraform, emulated: Emulator, tmp_path: Path) -> Place:
    """A project whose only settings are the account's name and an image."""
    aws = {n: v for n, v in emulated.environment.items() if n.startswith("AWS_")}
    ours = {
        "FLOWYML_AWS_ACCOUNT": NAME,
        "FLOWYML_AWS_IMAGE": emulated.environment["FLOWYML_AWS_IMAGE"],
        "FLOWYML_AWS_POLL_S": "0.1",
    }
    return Place("batch", tmp_path / "project", {**aws, **ours})


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


def test_checkov_finds_nothing_that_no_reason_explains() -> None:
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


def test_mistakes_in_variables_are_told_before_anything_is_made(
    terraform: Terraform, tmp_path: Path
) -> None:
    wrong: dict[str, Any] = {
        "name": "Main_account",
        "families": {"t4": {"capacity": ["reserved"], "taints": {"night": "sometimes"}}},
    }
    (tmp_path / "wrong.tfvars.json").write_text(json.dumps(wrong))
    done = terraform.run("plan", "-no-color", f"-var-file={tmp_path / 'wrong.tfvars.json'}")
    told = " ".join(done.stderr.split())
    assert done.returncode == 1
    assert "2 to 18 of them" in told
    assert "`cpu` on demand must be among them" in told
    assert "capacity is a set of" in told
    assert "A taint is `[VALUE:]EFFECT`" in told


def test_a_family_that_needs_an_image_and_one_that_is_none_say_so(
    terraform: Terraform, tmp_path: Path
) -> None:
    wrong: dict[str, Any] = {"families": {"cpu": {}, "v100": {}, "tpu": {}}}
    (tmp_path / "wrong.tfvars.json").write_text(json.dumps(wrong))
    done = terraform.run("plan", "-no-color", f"-var-file={tmp_path / 'wrong.tfvars.json'}")
    told = " ".join(done.stderr.split())
    assert done.returncode == 1
    assert "Batch has no image for v100 any more" in told
    assert "There is no family tpu" in told


def test_cdk_makes_the_same_account(planned: dict[str, Any], synthesized: Path) -> None:
    terraform, cdk = of_plan(planned), of_template(json.loads(synthesized.read_text()))
    counts = {kind: len(tables) for kind, tables in cdk.items()}
    assert {kind: len(tables) for kind, tables in terraform.items()} == counts
    assert list(differences(terraform, cdk)) == []


def test_a_second_plan_finds_nothing_to_change(applied: Terraform) -> None:
    done = applied.run("plan", "-no-color", "-detailed-exitcode")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_the_account_s_parameter_says_what_clients_read(
    applied: Terraform, emulated: Emulator
) -> None:
    told = emulated.client("ssm").get_parameter(Name=f"/flowyml-aws/{NAME}")
    assert json.loads(told["Parameter"]["Value"]) == settings(QUEUES)


def test_queues_are_targets_with_labels_and_taints(place: Place) -> None:
    from flowyml_aws.aws_place import AwsPlace
    from flowyml_aws.connect import settings_of

    with place.entered():
        targets = {t.name: t for t in AwsPlace(settings_of(place.folder, "batch")).targets()}
    assert list(targets) == [f"{PREFIX}-{queue}" for queue in QUEUES]
    spot = targets[f"{PREFIX}-t4-spot"]
    assert spot.capacity == "spot"
    assert spot.labels == {"family": "t4", "team": "vision"}
    assert spot.taints == (Taint("interruptible", "yes", "NoSchedule"),)
    assert "g4dn.xlarge" in spot.instance_types
    assert "16 in all" in spot.closed["g4dn.8xlarge"]


def test_the_doctor_finds_the_account_whole_and_a_pipeline_runs_on_it(
    place: Place, emulated: Emulator
) -> None:
    # Here is no TLS, so that the policy rightly refuses everything.
    emulated.client("s3").delete_bucket_policy(Bucket=BUCKET)
    code, out, err = place.command("doctor", "--json")
    found = [one for one in json.loads(out)["findings"] if one["level"] == "error"]
    assert (code, found) == (0, []), err
    with place.entered():
        assert place.pipeline("heavy").run(backend="batch")["size"] == 17 << 20


def test_at_the_end_nothing_is_left(applied: Terraform, emulated: Emulator) -> None:
    applied.must("destroy", "-no-color", "-auto-approve")
    buckets = [bucket["Name"] for bucket in emulated.client("s3").list_buckets()["Buckets"]]
    queues = emulated.client("batch").describe_job_queues()["jobQueues"]
    roles = [role["RoleName"] for role in emulated.client("iam").list_roles()["Roles"]]
    names = [*buckets, *(queue["jobQueueName"] for queue in queues), *roles]
    assert [name for name in names if name.startswith(PREFIX)] == []
    assert json.loads(applied.must("show", "-json")).get("values") is None
