"""The account made by CDK: its template, and the rules that it follows."""

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

# In the group of the Terraform tests, which also use the template: it is synthesized once.
pytestmark = [pytest.mark.system, pytest.mark.thorough, pytest.mark.xdist_group("infra-terraform")]

QUEUES = ["a10g-spot", "cpu", "cpu-spot", "t4", "t4-spot", "v100"]


@pytest.fixture(scope="module")
def template(synthesized: Path) -> dict[str, Any]:
    return json.loads(synthesized.read_text())


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> Resources:
    return of_template(template)


def test_cfn_lint_finds_nothing(synthesized: Path) -> None:
    done = subprocess.run([tool("cfn-lint"), str(synthesized)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_accounts_parameter_contains_the_settings_of_clients(resources: Resources) -> None:
    (parameter,) = resources["AWS::SSM::Parameter"].values()
    assert parameter["value"] == settings(QUEUES)


def test_policies_match_the_shared_documents(resources: Resources) -> None:
    documents = {n: facts["document"] for n, facts in resources["AWS::IAM::RolePolicy"].items()}
    assert documents == {n: policy(n) for n in ("job", "execution", "driver", "sagemaker")}
    (user,) = resources["AWS::IAM::ManagedPolicy"].values()
    assert user["document"] == policy("user")


def test_runs_and_images_outlive_the_stack(template: dict[str, Any]) -> None:
    retained = {
        r["Type"] for r in template["Resources"].values() if r.get("DeletionPolicy") == "Retain"
    }
    assert retained == {"AWS::S3::Bucket", "AWS::ECR::Repository"}


def test_disks_are_encrypted_and_instances_require_metadata_tokens(resources: Resources) -> None:
    for launch_template in resources["AWS::EC2::LaunchTemplate"].values():
        assert [disk["encrypted"] for _, disk in launch_template["disks"]] == [True]
        assert launch_template["metadata"]["http_tokens"] == "required"


def test_no_resource_costs_money_while_idle(resources: Resources) -> None:
    idle = {"NatGateway", "EIP", "Instance", "Key", "LoadBalancer", "DBInstance", "Function"}
    assert not {kind for kind in resources if kind.rpartition("::")[2] in idle}
    environments = resources["AWS::Batch::ComputeEnvironment"].values()
    assert {environment["vcpus"][0] for environment in environments} == {0}
    assert {t["vpc_endpoint_type"] for t in resources["AWS::EC2::VPCEndpoint"].values()} == {
        "Gateway"
    }


def test_drivers_have_a_queue_that_is_placed_first_and_takes_no_jobs(resources: Resources) -> None:
    queues = resources["AWS::Batch::JobQueue"]
    driver, cpu = queues[f"{PREFIX}-driver"], queues[f"{PREFIX}-cpu"]
    assert driver["priority"] > cpu["priority"]
    assert driver["orders"] == cpu["orders"]
    assert driver["tags"]["flowyml-aws:taint:driver"] == "NoSchedule"


def test_each_environment_of_a_queue_lists_sizes_within_its_limit(resources: Resources) -> None:
    environments = resources["AWS::Batch::ComputeEnvironment"]
    types = {name.removeprefix(f"{PREFIX}-"): e["types"] for name, e in environments.items()}
    assert types["t4"] == ["g4dn.xlarge"]
    assert types["t4-2"] == ["g4dn.2xlarge"]
    assert types["t4-3"] == ["g4dn.12xlarge", "g4dn.4xlarge"]
    assert types["a10g-spot"] == ["g5.2xlarge", "g5.xlarge"]
    assert max(environment["vcpus"][1] for environment in environments.values()) == 96
    assert resources["AWS::Batch::JobQueue"][f"{PREFIX}-t4"]["orders"] == [1, 2, 3]


def test_an_existing_vpc_is_used(tmp_path: Path) -> None:
    network = {"vpc_id": "vpc-1", "subnet_ids": ["subnet-1"], "monthly_budget_usd": None}
    done = synthesize(tmp_path, {"families": {"cpu": {"capacity": ["on-demand"]}}, **network})
    assert done.returncode == 0, done.stderr[-3000:]
    resources = of_template(json.loads((tmp_path / "flowyml.template.json").read_text()))
    kinds = {kind for kind in resources if kind.startswith(("AWS::EC2", "AWS::Budgets"))}
    assert kinds == {"AWS::EC2::SecurityGroup", "AWS::EC2::LaunchTemplate"}
    assert set(resources["AWS::Batch::JobQueue"]) == {f"{PREFIX}-cpu", f"{PREFIX}-driver"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "Main_account"}, "2 to 18 characters"),
        ({"families": {"cpu": {}, "v100": {}}}, "Batch no longer has an image for v100"),
        ({"families": {"cpu": {}, "t4": {"sizes": [["g4dn"]]}}}, "Batch prefers their large sizes"),
        ({"families": {"cpu": {}, "a100": {"max_vcpus": 8}}}, "less than its smallest"),
    ],
)
def test_mistakes_in_options_are_reported(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    done = synthesize(tmp_path, {"families": {"cpu": {}}, **options})
    assert done.returncode == 1
    assert message in done.stderr
