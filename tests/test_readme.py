"""The code, links and commands of the documentation work."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from flowyml_aws.cli.load import load_pipeline
from tests.support.rigs import DEADLINE_S, new_rig

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.contract
def test_the_pipeline_of_the_readme_runs_and_prints_its_report(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    (tmp_path / "pipeline.py").write_text(code, "utf-8")
    done = subprocess.run(
        [sys.executable, "pipeline.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["the model is 4.5"], done.stderr


@pytest.mark.contract
@pytest.mark.parametrize("backend", ["local", "batch"])
def test_the_scripts_about_code_in_jobs_print_what_the_page_says(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    page = (ROOT / "docs/code-in-jobs.md").read_text("utf-8")
    scripts = re.findall(r"```python\n(# (\w+\.py)\n.*?)```", page, flags=re.S)
    (printed,) = re.findall(r"prints the same on every backend:\n\n(.*?)\n\n", page, flags=re.S)
    expected = {"flow.py": textwrap.dedent(printed).splitlines(), "unguarded.py": ["45"]}
    rig = new_rig(backend, tmp_path, request)
    variables = {"FLOWYML_AWS_BACKEND": backend, "USER": "ana"}
    rig = replace(rig, environment={**rig.environment, **variables})
    for code, name in scripts:
        (rig.folder / name).write_text(code, "utf-8")
        with rig.client(name) as process:
            out, err = process.communicate(timeout=DEADLINE_S)
        assert out.splitlines() == expected.pop(name), err
    assert not expected


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")], ids=str)
def test_every_link_to_a_file_has_an_existing_target(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / link).exists(), f"{page}: {link}"


def test_every_command_of_the_readme_exists() -> None:
    from typer.main import get_command

    from flowyml_aws.cli.main import app

    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    mentioned = set(re.findall(r"flowyml-aws ([a-z]+)", README))
    assert mentioned <= commands


def test_the_documented_step_is_planned_on_the_documented_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs/running.md").read_text("utf-8").partition("## Targets")[2]
    toml, step = re.findall(r"```(?:toml|python)\n(.*?)```", page, re.DOTALL)[:2]
    (tmp_path / "flowyml-aws.toml").write_text(toml.replace("[[tool.flowyml-aws.", "[["))
    (tmp_path / "pyproject.toml").touch()
    last = "\nfrom flowyml_aws import Pipeline\npipeline = Pipeline('p').add_step(train)\n"
    (tmp_path / "documented.py").write_text(step + last)
    monkeypatch.chdir(tmp_path)
    (job,) = load_pipeline("documented.py").plan(backend="batch").jobs
    assert (job.target, job.instance_type) == ("gpu-spot", "g4dn.xlarge")
