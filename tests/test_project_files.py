"""Files that GitHub, pre-commit and a release read: they name what exists."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def steps_of(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text("utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_targets_of_the_makefile(workflow: Path) -> None:
    commands = [step["run"] for step in steps_of(workflow) if "run" in step]
    commands += re.findall(r"command: (make [^}]*?) }", workflow.read_text("utf-8"))
    called = {shlex.split(command)[1] for command in commands if command.startswith("make ")}
    assert called
    assert called <= TARGETS


def test_the_workflows_use_every_supported_python() -> None:
    supported = {
        line.rpartition(" ")[2]
        for line in PYPROJECT["project"]["classifiers"]
        if re.search(r":: 3\.\d+$", line)
    }
    text = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
    assert set(re.findall(r'"(3\.\d+)"', text)) == supported


def test_no_workflow_but_the_release_has_more_than_permission_to_read() -> None:
    for workflow in WORKFLOWS:
        document = yaml.safe_load(workflow.read_text("utf-8"))
        assert document["permissions"] == {"contents": "read"}
        if workflow.stem != "release":
            assert not [job for job in document["jobs"].values() if "permissions" in job]


def test_the_hooks_of_pre_commit_are_checks_of_the_makefile() -> None:
    document = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for hook in document["repos"][0]["hooks"]:
        program = next(part for part in hook["entry"].split() if "python" not in part)
        assert program.removeprefix(".venv/").replace("bin/", "") in makefile, hook["id"]


def test_the_list_of_vendored_libraries_has_the_versions_that_are_vendored() -> None:
    vendor = ROOT / "flowyml_aws/report/vendor"
    versions = json.loads((vendor / "package.json").read_text("utf-8"))["dependencies"]
    listed = {
        "/".join(filter(None, (one.get("group"), one["name"]))): one["version"]
        for one in json.loads((vendor / "sbom.cdx.json").read_text("utf-8"))["components"]
    }
    assert listed == {name: version for name, version in versions.items() if name != "esbuild"}
