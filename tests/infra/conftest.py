from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.testing import Emulator
from tests.support.infra import INFRA
from tests.support.infra_tools import Terraform, find_terraform, tool
from tests.support.rigs import raised_emulator

PROGRAM = Path(__file__).parents[1] / "support/cdk_program.py"

EVERYTHING: dict[str, Any] = {
    "name": "main",
    "families": {
        "cpu": {},
        "t4": {
            "max_vcpus": 48,
            "fair_share": True,
            "fsx_file_systems": [
                {"id": "fs-0123456789abcdef0", "mount_name": "abcdefgh"},
                {"id": "fs-fedcba98765432100", "mount_name": "fsx"},
            ],
            "labels": {"team": "vision"},
            "taints": {"interruptible": "yes:NoSchedule"},
        },
        "a10g": {"sizes": [["g5.xlarge", "g5.2xlarge"]], "capacity": ["spot"]},
        "v100": {"image_id": "ami-00000000000000001", "capacity": ["on-demand"]},
        "l4": {
            "capacity": ["nodes"],
            "fsx_file_systems": [{"id": "fs-0123456789abcdef0", "mount_name": "abcdefgh"}],
        },
        "l40s": {
            "capacity": ["on-demand", "nodes"],
            "efa": 1,
            "nodes_sizes": [["g6e.xlarge"], ["g6e.8xlarge", "g6e.12xlarge"]],
        },
        "a100": {"capacity": ["nodes"], "efa": 4},
    },
    "volume_gib": 200,
    "zones": 4,
    "nodes_way_out": "endpoints",
    "nodes_zone": "us-east-1b",
    "egress_ports": [443, 5432],
    "image_repositories": ["arn:aws:ecr:us-east-1:763104351884:repository/pytorch-training"],
    "sagemaker_subnet_ids": ["subnet-0a1b2c3d"],
    "sagemaker_kms_key_arns": ["arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"],
    "secret_arns": ["arn:aws:secretsmanager:us-east-1:123456789012:secret:token-AbCdEf"],
    "data_buckets": ["team-data"],
    "step_role_arns": ["arn:aws:iam::123456789012:role/training"],
    "efs_file_system_arns": [
        "arn:aws:elasticfilesystem:us-east-1:123456789012:file-system/fs-0123456789abcdef0"
    ],
    "notice_arns": ["arn:aws:sns:us-east-1:123456789012:runs"],
    "schedules": True,
    "remote_builds": True,
    "cost_explorer": True,
    "debug_shell": True,
    "log_retention_days": 90,
    "capacity_wait_s": 3600,
    "misconfigured_wait_s": 1200,
    "user_principal": "arn:aws:iam::123456789012:role/data-science",
    "alert_email": "ana@example.com",
    "monthly_budget_usd": 250,
    "force_destroy": False,
    "tags": {"team": "vision"},
}
"""A value for every option of a new VPC, in the form that Terraform and CDK both accept."""
OF_AN_EXISTING_VPC = {"vpc_id", "subnet_ids", "route_table_ids", "nodes_subnet_id"}
ZONES = [f"us-east-1{letter}" for letter in "abcdef"]


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulator]:
    """An emulated account with the AWS managed policies, which instance roles use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
        with raised_emulator() as aws:
            yield aws


@pytest.fixture(scope="module")
def terraform(emulated: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Terraform in a copy of the example root, for the emulated account."""
    folder = tmp_path_factory.mktemp("terraform")
    shutil.copytree(
        INFRA, folder / "infra", ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*")
    )
    root = folder / "infra/terraform/example"
    (root / "emulator_override.tf").write_text(
        'provider "aws" {\n  s3_use_path_style = true\n  skip_metadata_api_check = true\n}\n'
    )
    aws = {n: v for n, v in emulated.administrator.items() if n.startswith("AWS_")}
    return find_terraform(root, folder / "terraformrc", aws)


@pytest.fixture(scope="module")
def planned(terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The plan of `EVERYTHING`, as JSON."""
    variables = tmp_path_factory.mktemp("plan") / "everything.tfvars.json"
    variables.write_text(json.dumps(EVERYTHING))
    terraform.must("plan", "-no-color", f"-var-file={variables}", "-out=everything.bin")
    return json.loads(terraform.must("show", "-json", "everything.bin"))


def synthesize(
    out: Path, options: dict[str, Any], zones: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Write the CDK template of an account to `out/flowyml.template.json`, checked by cdk-nag.

    Args:
        out: Folder.
        options: Options of the account.
        zones: Availability zones of the account; if empty, the stack has no account.
    """
    arguments = (INFRA / "cdk", out, json.dumps(options), json.dumps(zones))
    return subprocess.run(
        [tool("python"), str(PROGRAM), *map(str, arguments)],
        env={**os.environ, "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="session")
def synthesized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CDK template of `EVERYTHING`."""
    tool("cfn-lint")  # installed together with CDK
    if shutil.which("node") is None:
        pytest.skip("CDK needs the program node, which is not on PATH")
    out = tmp_path_factory.mktemp("cdk")
    done = synthesize(out, EVERYTHING, ZONES)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return out / "flowyml.template.json"
