"""CDK's account: its template, and the rules that it keeps."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.infra.conftest import synthesize
from tests.support.infra import PREFIX, policy, settings
from tests.support.infra_tools import tool
from tests.support.same_account import Resources, of_template

# Beside Terraform's, which it is compared with: the template is made once.
pytestmark = [pytest.mark.system, pytest.mark.thorough, pytest.mark.xdist_group("infra-terraform")]

QUEUES = ["cpu", "cpu-spot", "t4", "t4-spot", "v100"]


@pytest.fixture(scope="module")
def template(synthesized: Path) -> dict[str, Any]:
    return json.loads(synthesized.read_text())


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> Resources:
    return of_template(template)


def test_cfn_lint_finds_nothing(synthesized: Path) -> None:
    done = subprocess.run([tool("cfn-lint"), str(synthesized)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_account_s_parameter_says_what_clients_read(resources: Resources) -> None:
    (parameter,) = resources["AWS::SSM::Parameter"].values()
    assert parameter["value"] == settings(QUEUES)


def test_policies_are_those_that_are_evaluated_here(resources: Resources) -> None:
    found = {n: table["document"] for n, table in resources["AWS::IAM::RolePolicy"].items()}
    assert found == {n: policy(n) for n in ("job", "execution", "driver", "sagemaker")}
    (user,) = resources["AWS::IAM::ManagedPolicy"].values()
    assert user["document"] == policy("user")


def test_runs_and_images_outlive_the_stack(template: dict[str, Any]) -> None:
    kept = {
        r["Type"] for r in template["Resources"].values() if r.get("DeletionPolicy") == "Retain"
    }
    assert kept == {"AWS::S3::Bucket", "AWS::ECR::Repository"}


def test_disks_are_encrypted_and_instances_ask_for_tokens(resources: Resources) -> None:
    for one in resources["AWS::EC2::LaunchTemplate"].values():
        assert [disk["encrypted"] for _, disk in one["disks"]] == [True]
        assert one["metadata"]["http_tokens"] == "required"


def test_nothing_that_costs_money_while_idle_is_there(resources: Resources) -> None:
    idle = {"NatGateway", "EIP", "Instance", "Key", "LoadBalancer", "DBInstance", "Function"}
    assert not {kind for kind in resources if kind.rpartition("::")[2] in idle}
    environments = resources["AWS::Batch::ComputeEnvironment"].values()
    assert {one["vcpus"][0] for one in environments} == {0}
    assert {t["vpc_endpoint_type"] for t in resources["AWS::EC2::VPCEndpoint"].values()} == {
        "Gateway"
    }


def test_a_vpc_that_is_there_is_used(tmp_path: Path) -> None:
    there = {"vpc_id": "vpc-1", "subnet_ids": ["subnet-1"], "monthly_budget_usd": None}
    done = synthesize(tmp_path, {"families": {"cpu": {"capacity": ["on-demand"]}}, **there})
    assert done.returncode == 0, done.stderr[-3000:]
    made = of_template(json.loads((tmp_path / "flowyml.template.json").read_text()))
    kinds = {kind for kind in made if kind.startswith(("AWS::EC2", "AWS::Budgets"))}
    assert kinds == {"AWS::EC2::SecurityGroup", "AWS::EC2::LaunchTemplate"}
    assert list(made["AWS::Batch::JobQueue"]) == [f"{PREFIX}-cpu"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": "Main_account"}, "2 to 18 of them"),
        ({"families": {"cpu": {}, "v100": {}}}, "Batch has no image for v100 any more"),
    ],
)
def test_mistakes_in_options_are_told(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    done = synthesize(tmp_path, {"families": {"cpu": {}}, **options})
    assert done.returncode == 1
    assert told in done.stderr
