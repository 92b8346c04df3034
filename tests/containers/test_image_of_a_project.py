"""The image that `flowyml-aws image build` builds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import flowyml_aws
from flowyml_aws.aws.registry import DOCKER_MANIFEST
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.images.engine import Engine
from flowyml_aws.images.project import ProjectImage
from flowyml_aws.images.recipe import ImageRecipe, project_recipe
from flowyml_aws.settings.load import load_settings
from tests.containers.conftest import BASE
from tests.support.rigs import BackendRig

pytestmark = [pytest.mark.system, pytest.mark.thorough, pytest.mark.xdist_group("containers")]

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def recipe_of(project: Path, environment: Mapping[str, str] | None = None) -> ImageRecipe:
    return project_recipe(project, load_settings(project, environment or {}))


def test_its_labels_have_the_versions_and_its_tag_has_the_python(
    engine: Engine, image: dict[str, Any]
) -> None:
    labels = engine.labels(image["image"])
    assert labels["flowyml-aws.python"] == PYTHON
    assert labels["flowyml-aws.version"] == flowyml_aws.__version__
    assert image["tag"].startswith(f"py{PYTHON}-")


def test_its_manifest_is_in_the_format_of_docker(engine: Engine, image: dict[str, Any]) -> None:
    if engine.name != "podman":
        pytest.skip("only podman reports the format of an image that was not pushed")
    command = [engine.program, "image", "inspect", "--format", "{{.ManifestType}}", image["image"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == f"{DOCKER_MANIFEST}\n"


def test_an_existing_image_is_not_built_again(image: dict[str, Any], digits: Path) -> None:
    code, out, _ = BackendRig("batch", digits).command("image", "build")
    assert (code, out) == (0, f"{image['image']} already exists on this machine\n")


def test_show_prints_its_base_dependencies_and_location(
    image: dict[str, Any], digits: Path
) -> None:
    code, out, _ = BackendRig("batch", digits).command("image", "show")
    assert code == 0
    rows = [line.split(maxsplit=1) for line in out.splitlines()]
    assert [image["image"]] in rows
    assert ["base", BASE] in rows
    assert ["built", "yes"] in rows
    assert "dependencies in pyproject.toml: matplotlib, numpy, scikit-learn" in out


def test_its_default_command_is_the_runner(engine: Engine, image: dict[str, Any]) -> None:
    command = [engine.program, "run", "--rm", "--network", "host", image["image"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "usage: python -m flowyml_aws.job" in done.stdout + done.stderr
    assert done.returncode == 11


def test_a_base_with_another_python_is_refused(
    engine: Engine, digits: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_of(digits)
    other = replace(recipe, arguments={**recipe.arguments, "PYTHON_VERSION": "2.7"})
    with pytest.raises(FlowymlError, match="Can't build"):
        ProjectImage(other, None).build(engine, None)
    assert f"the base image has Python {PYTHON}, not 2.7" in capfd.readouterr().err


def test_the_gpu_image_adds_python_to_a_base_without_it(
    engine: Engine, image: dict[str, Any], digits: Path
) -> None:
    recipe = recipe_of(digits, {"FLOWYML_AWS_BASE_IMAGE": "gpu"})
    # NVIDIA's CUDA image is not available here: replaced by the base image, without downloads.
    arguments = {"BASE_IMAGE": BASE, "PYTHON_IMAGE": BASE, "SYSTEM_PACKAGES": ""}
    gpu_image = ProjectImage(replace(recipe, arguments={**recipe.arguments, **arguments}), None)
    gpu_image.build(engine, None)
    ask = (
        "import os, numpy, flowyml_aws.runtime.job; "
        "print(os.environ['FLOWYML_USER'], numpy.arange(3).sum())"
    )
    command = [
        engine.program,
        "run",
        "--rm",
        "--network",
        "host",
        gpu_image.uri,
        "python",
        "-c",
        ask,
    ]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "10001 3\n"
