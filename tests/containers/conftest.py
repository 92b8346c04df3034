"""Docker or podman, and one image of one project for all tests of this folder."""

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
from tests.containers.base_image import make_base_image, why_not
from tests.examples.conftest import copy_examples
from tests.support.places import Place

BASE = f"localhost/flowyml-aws-test-base:{platform.python_version()}"
# Of a podman that is itself in a container.
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
    """An engine that runs containers of the base image; without one, all is skipped."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    try:
        found = find_engine()
    except MissingEngineError as error:
        pytest.skip(f"{error.what}: {error.why}")
    with pytest.MonkeyPatch.context() as patch:
        if not found.has(BASE):  # of an earlier run
            make_base_image(found, BASE)
        problem = _problem(found)
        if problem and found.name == "podman" and "CONTAINERS_CONF" not in os.environ:
            patch.setenv("CONTAINERS_CONF", str(CONFIGURATION))
            problem = _problem(found)
        if problem:
            pytest.skip(f"{found.name} runs no containers here: {problem}")
        yield found


def _problem(engine: Engine) -> str | None:
    command = [engine.program, "run", "--rm", "--network", "host", "--memory", "64m", BASE, "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip().splitlines()[-1] if done.returncode else None


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the examples, and what they need."""
    project = copy_examples(tmp_path_factory.mktemp("digits"))
    (project / "pyproject.toml").write_text(PROJECT, "utf-8")
    return project


@pytest.fixture(scope="session")
def image(engine: Engine, digits: Path) -> dict[str, Any]:
    """What `flowyml-aws image build` told of the image that it made for the project."""

    place = Place("batch", digits)
    with place.client("-m", "flowyml_aws", "image", "build", "--json") as process:
        out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return dict(json.loads(out))


@pytest.fixture(scope="module")
def account(image: dict[str, Any]) -> Iterator[Emulator]:
    """An emulated account whose jobs run in containers of that image."""
    with Emulator(containers=image["image"]) as aws:
        yield aws


@pytest.fixture
def place(account: Emulator, digits: Path) -> Iterator[Place]:
    """The project, on that account, which this process is in."""
    settings = {**account.environment, "FLOWYML_AWS_POLL_S": "0.1"}
    place = Place("batch", digits, settings)
    with place.entered():
        yield place
