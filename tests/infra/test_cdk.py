"""The account made by CDK: its template, and the rules that it follows."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.infra.conftest import synthesize
from tests.support.infra import INFRA, PREFIX, named, policy, settings
from tests.support.infra_tools import tool
from tests.support.same_account import Resources, of_template

# In the group of the Terraform tests, which also use the template: it is synthesized once.
pytestmark = [pytest.mark.system, pytest.mark.thorough, pytest.mark.xdist_group("infra-terraform")]

QUEUES = [
    *("a100-nodes", "a10g-spot", "cpu", "cpu-spot", "l4-nodes", "l40s", "l40s-nodes"),
    *("t4", "t4-spot", "v100"),
]


@pytest.fixture(scope="module")
def template(synthesized: Path) -> dict[str, Any]:
    return json.loads(synthesized.read_text())


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> Resources:
    return of_template(template)


def test_cfn_lint_finds_nothing(synthesized: Path) -> None:
    # CDK has asked the account for the zones that are in the template.
    command = [tool("cfn-lint"), "--ignore-checks", "W3010", "--", str(synthesized)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_accounts_parameter_contains_the_settings_of_clients(resources: Resources) -> None:
    (parameter,) = resources["AWS::SSM::Parameter"].values()
    schedules = {"schedule_group": PREFIX, "schedule_role": named()["scheduler_role_arn"]}
    builds = {"build_project": f"{PREFIX}-images"}
    assert parameter["value"] == {**settings(QUEUES), **schedules, **builds}


def test_policies_match_the_shared_documents(resources: Resources) -> None:
    documents = {n: facts["document"] for n, facts in resources["AWS::IAM::RolePolicy"].items()}
    assert {name for name in documents if "-" in name} == {
        *("execution-images", "sagemaker-images", "sagemaker-vpc", "sagemaker-keys"),
        *("execution-secrets", "sagemaker-secrets", "user-costs", "user-schedules"),
        "user-builds",
        *("job-data", "sagemaker-data", "user-data"),
        *("job-shell", "sagemaker-shell", "user-sessions"),
        *("user-roles", "driver-roles", "job-efs"),
        *("driver-notices", "user-notices"),
    }
    own = {name: document for name, document in documents.items() if "-" not in name}
    roles = ("job", "execution", "driver", "sagemaker", "scheduler", "builds")
    assert own == {name: policy(name) for name in roles}
    (user,) = resources["AWS::IAM::ManagedPolicy"].values()
    assert user["document"] == policy("user")


def test_a_deployment_after_a_removal_is_not_blocked_by_what_was_kept(
    template: dict[str, Any],
) -> None:
    # A resource that CloudFormation keeps on purpose would have the name of the next one. It can't
    # delete a bucket or a repository that is not empty, as Terraform can't.
    assert {r.get("DeletionPolicy", "Delete") for r in template["Resources"].values()} == {"Delete"}


def run_app(out: Path, context: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run the app as the program `cdk` does."""
    settings = {
        "CDK_CONTEXT_JSON": json.dumps(context),
        "CDK_OUTDIR": str(out),
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
    }
    return subprocess.run(
        [tool("python"), "app.py"],
        cwd=INFRA / "cdk",
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
    )


def test_the_app_takes_every_option_from_its_context_and_sends_no_usage_data(
    synthesized: Path, tmp_path: Path
) -> None:
    context = {"aws:cdk:version-reporting": True, "name": "prod", "zones": "1"}
    done = run_app(tmp_path, context)
    assert done.returncode == 0, done.stderr[-3000:]
    template = json.loads((tmp_path / "flowyml-prod.template.json").read_text())
    assert len(of_template(template)["AWS::EC2::Subnet"]) == 1
    assert "AWS::CDK::Metadata" not in {r["Type"] for r in template["Resources"].values()}
    settings = json.loads((INFRA / "cdk/cdk.json").read_text("utf-8"))
    assert settings["versionReporting"] is False
    assert settings["context"]["cli-telemetry"] is False


def test_mistakes_in_the_context_of_the_app_are_reported_without_a_traceback(
    synthesized: Path, tmp_path: Path
) -> None:
    done = run_app(tmp_path, {"zone": "2", "volume_gib": "10"})
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    *_, first, second = done.stderr.strip().splitlines()  # after warnings about Node's version
    assert first.startswith("Unknown option zone; known options: name, families, ")
    assert second == "volume_gib must be at least 30: ECS's images need it"


def test_disks_are_encrypted_and_instances_require_metadata_tokens(resources: Resources) -> None:
    for launch_template in resources["AWS::EC2::LaunchTemplate"].values():
        assert [disk["encrypted"] for _, disk in launch_template["disks"]] == [True]
        assert launch_template["metadata"]["http_tokens"] == "required"


def test_no_resource_costs_money_while_idle_except_the_way_out_of_nodes(
    resources: Resources,
) -> None:
    idle = {"NatGateway", "EIP", "Instance", "Key", "LoadBalancer", "DBInstance", "Function"}
    assert not {kind for kind in resources if kind.rpartition("::")[2] in idle}
    environments = resources["AWS::Batch::ComputeEnvironment"].values()
    assert {environment["vcpus"][0] for environment in environments} == {0}
    paid = {
        endpoint["service_name"].rpartition("us-east-1.")[2]
        for endpoint in resources["AWS::EC2::VPCEndpoint"].values()
        if endpoint["vpc_endpoint_type"] != "Gateway"
    }
    assert paid == {
        *("ecr.api", "ecr.dkr", "ecs", "ecs-agent", "ecs-telemetry", "logs"),
        *("secretsmanager", "ssm"),
    }


def test_nodes_are_close_to_each_other_and_reach_each_other_but_have_no_public_addresses(
    resources: Resources,
) -> None:
    environments = resources["AWS::Batch::ComputeEnvironment"]
    nodes = {n: e for n, e in environments.items() if e["tags"].get("flowyml-aws-nodes") == "true"}
    assert {name.removeprefix(f"{PREFIX}-") for name in nodes} == {
        *("l4-nodes", "l4-nodes-2", "l4-nodes-3"),
        *("l40s-nodes", "a100-nodes"),
    }
    assert all(environment["has_placement_group"] for environment in nodes.values())
    assert {e["type"] for e in nodes.values()} == {"EC2"}
    assert {g["strategy"] for g in resources["AWS::EC2::PlacementGroup"].values()} == {"cluster"}
    (subnet,) = (
        s for s in resources["AWS::EC2::Subnet"].values() if not s["map_public_ip_on_launch"]
    )
    assert subnet["availability_zone"] == "us-east-1b"
    group = resources["AWS::EC2::SecurityGroup"][f"{PREFIX}-nodes"]
    assert group["in"] == [("-1", 0, 0, "self")]
    assert ("-1", 0, 0, "self") in group["out"]
    assert resources["AWS::EC2::SecurityGroup"][f"{PREFIX}-instances"]["in"] == []


def test_nodes_with_efa_have_an_interface_on_each_card_and_only_types_with_as_many(
    resources: Resources,
) -> None:
    environments = resources["AWS::Batch::ComputeEnvironment"]
    templates = resources["AWS::EC2::LaunchTemplate"]
    assert environments[f"{PREFIX}-l40s-nodes"]["types"] == ["g6e.12xlarge", "g6e.8xlarge"]
    assert environments[f"{PREFIX}-l40s"]["types"] == ["g6e.xlarge"]
    assert templates[f"{PREFIX}-l40s-nodes"]["interfaces"] == [(0, 0, "efa", True)]
    assert templates[f"{PREFIX}-a100-nodes"]["interfaces"] == [
        (0, 0, "efa", True),
        *((card, 1, "efa-only", True) for card in (1, 2, 3)),
    ]
    with_efa = {
        name.removeprefix(f"{PREFIX}-"): environment
        for name, environment in environments.items()
        if "flowyml-aws-efa" in environment["tags"]
    }
    assert {n: e["tags"]["flowyml-aws-efa"] for n, e in with_efa.items()} == {
        "l40s-nodes": "1",
        "a100-nodes": "4",
    }
    # Batch rejects security groups in both, and requires them in one.
    without_groups = {n for n, e in environments.items() if not e["has_security_groups"]}
    assert without_groups == {f"{PREFIX}-{name}" for name in with_efa}
    interfaces = [each for template in templates.values() for each in template["interfaces"]]
    assert len(interfaces) == 5


def test_a_nat_gateway_is_made_only_for_nodes_and_only_without_endpoints(tmp_path: Path) -> None:
    families = {"cpu": {"capacity": ["on-demand", "nodes"]}}
    done = synthesize(tmp_path, {"families": families})
    assert done.returncode == 0, done.stderr[-3000:]
    resources = of_template(json.loads((tmp_path / "flowyml.template.json").read_text()))
    assert len(resources["AWS::EC2::NatGateway"]) == 1
    assert {e["vpc_endpoint_type"] for e in resources["AWS::EC2::VPCEndpoint"].values()} == {
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
    system = {"id": "fs-0123456789abcdef0", "mount_name": "fsx"}
    cpu = {"capacity": ["on-demand"], "fsx_file_systems": [system]}
    done = synthesize(tmp_path, {"families": {"cpu": cpu}, **network})
    assert done.returncode == 0, done.stderr[-3000:]
    resources = of_template(json.loads((tmp_path / "flowyml.template.json").read_text()))
    kinds = {kind for kind in resources if kind.startswith(("AWS::EC2", "AWS::Budgets"))}
    assert kinds == {"AWS::EC2::SecurityGroup", "AWS::EC2::LaunchTemplate"}
    assert set(resources["AWS::Batch::JobQueue"]) == {f"{PREFIX}-cpu", f"{PREFIX}-driver"}
    (group,) = resources["AWS::EC2::SecurityGroup"].values()
    lustre = {rule for rule in group["out"] if rule[1] != 443}
    assert len(lustre) == 8
    assert not {cidr for *_, cidr in lustre if cidr.endswith("/0")}  # private addresses only


def test_instances_that_mount_fsx_reach_its_ports_in_the_vpc_and_their_queues_have_the_tag(
    resources: Resources,
) -> None:
    vpc = "10.77.0.0/16"
    lustre = [("tcp", 988, 988, vpc), ("tcp", 1018, 1023, vpc)]
    for name in ("instances", "nodes"):
        rules = resources["AWS::EC2::SecurityGroup"][f"{PREFIX}-{name}"]["out"]
        assert [rule for rule in rules if rule[3] == vpc] == lustre
    tag = "flowyml-aws:label:fsx.amazonaws.com/fs-fedcba98765432100"
    queues = resources["AWS::Batch::JobQueue"]
    assert {name for name, queue in queues.items() if queue["tags"].get(tag) == "mounted"} == {
        f"{PREFIX}-t4",
        f"{PREFIX}-t4-spot",
    }


def test_a_stack_without_an_account_has_a_subnet_in_each_of_the_two_zones_of_every_region(
    tmp_path: Path,
) -> None:
    done = synthesize(tmp_path, {"families": {"cpu": {"capacity": ["on-demand"]}}})
    assert done.returncode == 0, done.stderr[-3000:]
    resources = of_template(json.loads((tmp_path / "flowyml.template.json").read_text()))
    assert len(resources["AWS::EC2::Subnet"]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "Main_account"}, "2 to 18 characters"),
        ({"families": {"cpu": {}, "v100": {}}}, "Batch no longer has an image for v100"),
        ({"families": {"cpu": {}, "t4": {"sizes": [["g4dn"]]}}}, "Batch prefers their large sizes"),
        ({"families": {"cpu": {}, "a100": {"max_vcpus": 8}}}, "less than its smallest"),
        ({"families": {"cpu": {}, "a100": {"efa": 4}}}, "require `nodes` in `capacity`"),
        (
            {"families": {"cpu": {}, "l4": {"capacity": ["nodes"]}}, "nodes_zone": "us-east-1f"},
            "nodes_zone must be one of the zones with a subnet",
        ),
        (
            {
                "families": {"cpu": {}, "l4": {"capacity": ["nodes"]}},
                "vpc_id": "vpc-1",
                "subnet_ids": ["subnet-1"],
            },
            "requires nodes_subnet_id",
        ),
    ],
)
def test_mistakes_in_options_are_reported(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    done = synthesize(tmp_path, {"families": {"cpu": {}}, **options})
    assert done.returncode == 1
    assert message in done.stderr
