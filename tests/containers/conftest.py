"""Docker or podman, and one project image shared by all tests of this folder."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.core.errors import MissingEngineError
from flowyml_aws.images.engine import Engine, find_engine
from flowyml_aws.testing import Emulator
from tests.containers.base_image import make_base_image, unavailable_reason
from tests.examples.conftest import copy_examples
from tests.support.rigs import BackendRig, raised_emulator

BASE = f"localhost/flowyml-aws-test-base:{platform.python_version()}"
# For a podman that itself runs in a container.
CONFIGURATION = Path(__file__).with_name("containers.conf")

PROJECT = f"""
[project]
name = "digits"
version = "1"
dependencies = ["matplotlib", "numpy", "scikit-learn"]

[tool.flowyml-aws]
base_image = "{BASE}"
"""


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """An engine that can run containers of the base image; without one, the tests are skipped."""
    if (reason := unavailable_reason()) is not None:
        pytest.skip(reason)
    try:
        engine = find_engine()
    except MissingEngineError as error:
        pytest.skip(f"{error.what}: {error.why}")
    with pytest.MonkeyPatch.context() as patch:
        if not engine.has(BASE):  # built by an earlier test run
            make_base_image(engine, BASE)
        problem = _problem(engine)
        if problem and engine.name == "podman" and "CONTAINERS_CONF" not in os.environ:
            patch.setenv("CONTAINERS_CONF", str(CONFIGURATION))
            problem = _problem(engine)
        if problem:
            pytest.skip(f"{engine.name} can't run containers on this machine: {problem}")
        yield engine


def _problem(engine: Engine) -> str | None:
    command = [engine.program, "run", "--rm", "--network", "host", "--memory", "64m", BASE, "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip().splitlines()[-1] if done.returncode else None


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that contains the examples and declares their dependencies."""
    project = copy_examples(tmp_path_factory.mktemp("digits"))
    (project / "pyproject.toml").write_text(PROJECT, "utf-8")
    return project


@pytest.fixture(scope="session")
def image(engine: Engine, digits: Path) -> dict[str, Any]:
    """The output of `flowyml-aws image build` for the project."""
    rig = BackendRig("batch", digits)
    with rig.client("-m", "flowyml_aws", "image", "build", "--json") as process:
        out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return dict(json.loads(out))


@pytest.fixture(scope="module")
def account(image: dict[str, Any]) -> Iterator[Emulator]:
    """An emulated account whose jobs run in containers of the project image."""
    with raised_emulator(containers=image["image"]) as aws:
        yield aws


@pytest.fixture
def rig(account: Emulator, digits: Path) -> Iterator[BackendRig]:
    """The project on the emulated account, with its folder as working directory."""
    settings = {**account.environment, "FLOWYML_AWS_POLL_S": "0.1"}
    rig = BackendRig("batch", digits, settings)
    with rig.entered():
        yield rig
