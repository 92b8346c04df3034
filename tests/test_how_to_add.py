"""`docs/contributing/how-to-add.md`, followed: each example works in a copy of the repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.how_to import HowTo
from tests.support.rigs import DEADLINE_S

pytestmark = pytest.mark.contract

ROOT = Path(__file__).parent.parent
COPIED = ("docs", "flowyml_aws", "infra", "tests")
LEFT_OUT = shutil.ignore_patterns(".terraform", "cdk.out")
PIPELINE = """
from flowyml_aws import GPUConfig, Pipeline, ResourceRequirements, step


@step(resources=ResourceRequirements(cpu="2", memory="4Gi", gpu={gpu}))
def train() -> float:
    return 0.5


pipeline = Pipeline("training").add_step(train)
"""
Run = Callable[..., str]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the repository with a pipeline."""
    root = tmp_path / "checkout"
    for name in COPIED:
        shutil.copytree(ROOT / name, root / name, ignore=LEFT_OUT)
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


@pytest.fixture
def run(checkout: Path) -> Run:
    """Function that runs a program with the copied package, and returns its output."""

    def run(*words: str, path: str | None = None) -> str:
        programs = {"flowyml-aws": ("-m", "flowyml_aws"), "python": ()}
        environment = {"PYTHONPATH": str(checkout), "PATH": path or os.environ["PATH"]}
        done = subprocess.run(
            [sys.executable, *programs[words[0]], *words[1:]],
            cwd=checkout,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_S,
        )
        output = done.stdout + done.stderr
        assert path is not None or done.returncode == 0, output
        return output

    return run


def follow(title: str, checkout: Path, run: Run, gpu: str = "None") -> None:
    """Follow a section, then run its commands."""
    section = HowTo.section(title)
    section.follow(checkout)
    (checkout / "pipeline.py").write_text(PIPELINE.format(gpu=gpu), "utf-8")
    for command in section.commands():
        output = run(*command.words)
        assert [line for line in command.output if line not in output] == [], output


STORE_AND_LOAD = """
from decimal import Decimal
from pathlib import Path
from flowyml_aws.artifacts.values import load_value, save_value
from flowyml_aws.local.directory import DirectoryArtifactStore

store = DirectoryArtifactStore(Path("store"))
for value in ("1.10", "-0", "1E+3", "NaN", "-Infinity"):
    ref = save_value(store, "value", Decimal(value))
    loaded = load_value(store, ref, "value", Path("files"))
    print(ref.codec, type(loaded).__name__, loaded)
"""


def test_a_new_codec_stores_and_loads_a_value(checkout: Path, run: Run) -> None:
    follow("A codec", checkout, run)
    assert run("python", "-c", STORE_AND_LOAD).splitlines() == [
        f"decimal/1 Decimal {value}" for value in ("1.10", "-0", "1E+3", "NaN", "-Infinity")
    ]


def test_a_new_service_plans_and_runs_jobs(checkout: Path, run: Run) -> None:
    follow("A service", checkout, run)
    command = ("plan", "pipeline.py", "--backend", "workstation", "--json")
    plan = json.loads(run("flowyml-aws", *command))
    assert [job["backend"] for job in plan["jobs"]] == ["workstation"]
    assert "succeeded" in run("flowyml-aws", "run", "pipeline.py", "--backend", "workstation")


QUEUES = """
from flowyml_aws.testing import Emulator

with Emulator() as aws:
    queues = aws.client("batch").describe_job_queues()["jobQueues"]
    print(*(queue["jobQueueName"] for queue in queues))
"""


def test_a_new_instance_family_is_selected_for_its_gpu(checkout: Path, run: Run) -> None:
    follow("An instance family", checkout, run, gpu='GPUConfig("w10")')
    assert "flowyml-emulator-l4-memory" in run("python", "-c", QUEUES).split()


def test_a_new_command_runs(checkout: Path, run: Run) -> None:
    follow("A command", checkout, run)


def test_a_new_check_of_doctor_is_in_its_report(checkout: Path, run: Run) -> None:
    (checkout / ".git").mkdir()
    follow("A check of `doctor`", checkout, run)
    empty = checkout / "empty"
    empty.mkdir()
    assert "git is not installed" in run("flowyml-aws", "doctor", path=str(empty))
