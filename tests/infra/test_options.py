"""The options of an account: Terraform's variables, and the context of the CDK app."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.infra.conftest import EVERYTHING, OF_AN_EXISTING_VPC
from tests.support.infra import INFRA

Read = Callable[[Mapping[str, Any]], Any]

TERRAFORM = INFRA / "terraform"


@pytest.fixture
def read_options(monkeypatch: pytest.MonkeyPatch) -> Read:
    """The function of the CDK app, which needs no CDK."""
    package = ModuleType("flowyml_account")
    package.__path__ = [str(INFRA / "cdk/flowyml_account")]
    monkeypatch.setitem(sys.modules, "flowyml_account", package)
    for name in ("context", "options", "shared"):
        monkeypatch.delitem(sys.modules, f"flowyml_account.{name}", raising=False)
    read: Read = importlib.import_module("flowyml_account.context").read_options
    return read


def variables(path: Path) -> set[str]:
    return set(re.findall(r'^variable "(\w+)"', path.read_text("utf-8"), re.M))


def test_terraform_and_cdk_have_the_same_options(read_options: Read) -> None:
    assert {f.name for f in fields(read_options({}))} == variables(TERRAFORM / "variables.tf")


def test_the_comparison_of_both_has_a_value_for_each_option() -> None:
    options = variables(TERRAFORM / "variables.tf")
    assert EVERYTHING.keys() == options - OF_AN_EXISTING_VPC


def test_the_example_passes_every_variable_of_the_module_on() -> None:
    options = variables(TERRAFORM / "variables.tf")
    assert variables(TERRAFORM / "example/variables.tf") == {*options, "region"}
    passed = re.findall(
        r"^  (\w+) += var\.(\w+)$", (TERRAFORM / "example/main.tf").read_text(), re.M
    )
    assert {name for name, value in passed if name == value} == {*options, "region"}


def test_a_variable_that_the_example_does_not_set_has_the_default_of_the_module() -> None:
    text = (TERRAFORM / "variables.tf").read_text("utf-8")
    blocks = dict(re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.M | re.S))
    without_default = {
        name
        for name, block in blocks.items()
        if not re.search(r"^  (default +?= null|nullable +?= false)$", block, re.M)
    }
    example = (TERRAFORM / "example/variables.tf").read_text("utf-8")
    assert without_default == {"monthly_budget_usd"}  # null is a value of it: no budget
    assert re.search(r'"monthly_budget_usd" \{[^}]*default     = 100\n', example)


def test_options_are_read_from_the_text_of_the_command_line(read_options: Read) -> None:
    options = read_options(
        {
            "@aws-cdk/core:disableGitSource": True,
            "aws:cdk:enable-path-metadata": True,
            "name": "prod",
            "zones": "2",
            "families": '{"cpu": {}, "t4": {"capacity": ["spot"], "max_vcpus": 48}}',
            "subnet_ids": '["subnet-1"]',
            "monthly_budget_usd": "null",
            "force_destroy": "true",
            "tags": '{"team": "vision"}',
        }
    )
    assert (options.name, options.zones, options.subnet_ids) == ("prod", 2, ["subnet-1"])
    assert options.families["t4"].max_vcpus == 48
    assert (options.monthly_budget_usd, options.force_destroy) == (None, True)
    assert options.tags == {"team": "vision"}


def test_options_of_a_file_are_overridden_by_the_command_line(
    read_options: Read, tmp_path: Path
) -> None:
    file = tmp_path / "options.json"
    file.write_text(json.dumps({**EVERYTHING, "name": "first"}))
    options = read_options({"options": str(file), "name": "second"})
    assert (options.name, options.zones) == ("second", EVERYTHING["zones"])
    assert options.families["a10g"].sizes == EVERYTHING["families"]["a10g"]["sizes"]


def test_all_mistakes_are_reported_at_once(read_options: Read) -> None:
    with pytest.raises(ValueError) as raised:
        read_options(
            {
                "name": "Main_account",
                "zone": "2",
                "zones": "two",
                "volume_gib": "20",
                "egress_ports": '["https"]',
                "force_destroy": "yes",
                "families": '{"cpu": {"vcpus": 8}, "tpu": {}, "t4": []}',
                "vpc_id": "vpc-1",
                "sagemaker_kms_key_arns": '["alias/key"]',
            }
        )
    lines = str(raised.value).splitlines()
    for start in (
        "Unknown option zone; known options: name, families, ",
        "Unknown option families['cpu'].vcpus; known options: capacity, ",
        "Invalid families['t4']: expected a mapping",
        "Invalid zones: 'two' is not a whole number",
        "Invalid egress_ports: 'https' is not a whole number",
        "Invalid force_destroy: 'yes' is not true or false",
        "Invalid name 'Main_account'",
        "Unknown family tpu; known families: cpu, ",
        "volume_gib must be at least 30",
        "vpc_id requires subnet_ids",
        "sagemaker_kms_key_arns must be ARNs",
    ):
        assert [line for line in lines if line.startswith(start)], (start, lines)
    assert len(lines) == 11


@pytest.mark.parametrize("content", ["[]", "{", None])
def test_a_file_that_can_not_be_read_is_a_mistake(
    content: str | None, read_options: Read, tmp_path: Path
) -> None:
    file = tmp_path / "options.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match="Can't read the options in "):
        read_options({"options": str(file)})


def test_file_systems_of_fsx_have_only_characters_that_are_safe_in_a_script(
    read_options: Read,
) -> None:
    valid = {"id": "fs-0123456789abcdef0", "mount_name": "fsx"}
    for wrong in (
        "fs-0123456789abcdef0",
        {"id": "fs-0123456789abcdef0"},
        {**valid, "at": "/data"},
        {**valid, "id": "fs-0123456789abcdef0\n"},
        {**valid, "id": "fs-$(id)"},
        {**valid, "mount_name": "a b"},
        {**valid, "mount_name": "`id`"},
        {**valid, "mount_name": 8},
        valid,
    ):
        with pytest.raises(ValueError) as raised:
            read_options({"families": {"cpu": {"fsx_file_systems": [valid, wrong]}}})
        (line,) = str(raised.value).splitlines()
        assert line.startswith("families['cpu'].fsx_file_systems must be different file systems")


def sizes_of_nodes(options: Any, family: str) -> Any:
    module = importlib.import_module("flowyml_account.options")
    return module.sizes_of_nodes(family, options.families[family])


def test_nodes_with_efa_have_only_types_with_as_many_adapters(read_options: Read) -> None:
    l40s = {"capacity": ["nodes"], "efa": 1, "max_vcpus": 96}
    cpu = {
        "capacity": ["on-demand", "nodes"],
        "efa": 2,
        "sizes": [["c6i.32xlarge", "c6in.32xlarge"], ["c6i.large"]],
    }
    a10g = {"capacity": ["nodes"], "nodes_sizes": [["g5.xlarge"], ["g5.8xlarge"]]}
    families = {"cpu": cpu, "l40s": l40s, "a10g": a10g, "l4": {"capacity": ["nodes"]}}
    options = read_options({"families": families})
    assert sizes_of_nodes(options, "l40s") == [["g6e.12xlarge"]]
    assert sizes_of_nodes(options, "cpu") == [["c6in.32xlarge"]]
    assert sizes_of_nodes(options, "a10g") == [["g5.xlarge"], ["g5.8xlarge"]]
    assert sizes_of_nodes(options, "l4") == [["g6.xlarge"], ["g6.2xlarge"], ["g6.4xlarge"]]


@pytest.mark.parametrize(
    ("name", "family", "message"),
    [
        ("t4", {"efa": 1}, "efa and nodes_sizes require `nodes` in `capacity`"),
        ("t4", {"nodes_sizes": [["g4dn.xlarge"]]}, "efa and nodes_sizes require `nodes`"),
        ("t4", {"capacity": ["nodes"], "nodes_sizes": [["g4dn"]]}, "Batch prefers their large"),
        ("t4", {"efa": -1, "capacity": ["nodes"]}, "must be a number of Elastic Fabric Adapters"),
        (
            "t4",
            {"efa": 1, "capacity": ["nodes"]},
            "No instance type of t4 within max_vcpus (16) allows efa = 1. Types of the family that "
            "do: g4dn.12xlarge (48 vCPUs). Raise max_vcpus, request fewer adapters, or list types "
            "of infra/account/efa.json in `nodes_sizes`",
        ),
        ("b300", {"efa": 1, "capacity": ["nodes"]}, "that do: none."),
        ("a100", {"efa": 8, "capacity": ["nodes"]}, "that do: none."),
    ],
)
def test_efa_without_nodes_or_without_a_type_that_has_it_is_a_mistake(
    name: str, family: dict[str, Any], message: str, read_options: Read
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read_options({"families": {"cpu": {}, name: family}})
