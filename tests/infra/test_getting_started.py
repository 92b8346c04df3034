"""The statements of `docs/getting-started.md` that can be checked without an account."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import Pipeline
from tests.support.getting_started import NOT_RUN, PAGE, block, commands
from tests.support.infra import INFRA, families


def test_its_table_has_every_family_with_its_limit() -> None:
    row = r"\| `[a-z0-9-]+` (\|[^|]*){3}\|"
    lines = [line for line in PAGE.splitlines() if re.fullmatch(row, line)]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    limits = {
        name.strip("`"): (types.partition(";")[0], int(max_vcpus))
        for name, _, types, max_vcpus in cells
    }
    assert limits == {
        name: (_listed(family), family["max_vcpus"])
        for name, family in families()["families"].items()
    }


def _listed(family: dict[str, Any]) -> str:
    """Return a family's sizes within its default limit, as the table lists them."""
    groups = [
        [name.split(".") for name, vcpus in group.items() if vcpus <= family["max_vcpus"]]
        for group in family["sizes"]
    ]
    families = dict.fromkeys(name for group in groups for name, _ in group)
    sizes = [", ".join(dict.fromkeys(size for _, size in group)) for group in groups if group]
    return f"{', '.join(families)}: {' → '.join(sizes)}"


def test_its_first_job_is_planned_on_the_instance_type_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flowyml_aws.cli.load import load_pipeline

    (tmp_path / "first.py").write_text(block("python", "# first.py"))
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    for name in ("FLOWYML_AWS_STORE", "FLOWYML_AWS_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)
    pipeline = load_pipeline("first.py")
    assert isinstance(pipeline, Pipeline)
    (job,) = pipeline.plan(backend="batch").jobs
    assert job.offers[0].instance_type == "g4dn.xlarge"
    assert "g4dn.xlarge" in PAGE


def test_the_variables_that_it_names_exist() -> None:
    variables = (INFRA / "terraform/variables.tf").read_text("utf-8")
    known = set(re.findall(r'^variable "(\w+)"', variables, re.M))
    (module,) = re.findall(r"```hcl\n(.*?)```", PAGE, re.S)
    in_example = set(re.findall(r"^  (\w+) +=", module, re.M)) - {"source"}
    in_text = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", PAGE))
    others = {"fsx_file_systems", "image_id", "max_vcpus", "nodes_sizes"}  # of a family
    assert (in_example | in_text - others) - known == set()
    assert {"image_repositories", "sagemaker_subnet_ids", "misconfigured_wait_s"} <= in_text


def test_every_command_is_walked_or_has_a_reason() -> None:
    texts = [command.text for command in commands()]
    # `test_walk.py` runs these in the order of the page.
    walked = (
        "python3 -m venv .venv",
        ". .venv/bin/activate",
        "pip install '.[testing]'",
        "aws service-quotas request-service-quota-increase ",
        "terraform init",
        "terraform apply ",
        "aws iam attach-group-policy ",
        "flowyml-aws ",
        ". ./settings.sh",
    )
    unknown = [t for t in texts if not t.startswith(walked) and t not in NOT_RUN]
    assert unknown == []
    assert [text for text in NOT_RUN if text not in PAGE] == []
    for reason in NOT_RUN.values():
        assert reason.startswith("`") or reason in PAGE


def test_it_starts_with_the_installation_and_ends_with_the_emulator() -> None:
    sections = list(dict.fromkeys(command.section for command in commands()))
    assert sections[0] == "Install"
    assert sections[-1] == "Without an account"


def test_its_first_job_reports_that_there_is_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    scope: dict[str, Any] = {"__name__": "first"}
    exec(block("python", "# first.py"), scope)
    assert scope["list_gpus"]() == "no GPU: this machine has no NVIDIA driver"
    assert "no GPU: this machine has no NVIDIA driver" in PAGE.partition("Without an account")[2]
