"""The image that `flowyml-aws image build` makes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import flowyml_aws
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.images.engine import Engine
from flowyml_aws.images.project import ProjectImage
from flowyml_aws.images.recipe import ImageRecipe, project_recipe
from flowyml_aws.settings import load_settings
from tests.containers.conftest import BASE
from tests.support.places import Place

pytestmark = [pytest.mark.system, pytest.mark.thorough, pytest.mark.xdist_group("containers")]

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def recipe_of(project: Path, environment: Mapping[str, str] | None = None) -> ImageRecipe:
    return project_recipe(project, load_settings(project, environment or {}))


def test_its_labels_tell_the_versions_and_its_tag_the_python(
    engine: Engine, image: dict[str, Any]
) -> None:
    labels = engine.labels(image["image"])
    assert labels["flowyml-aws.python"] == PYTHON
    assert labels["flowyml-aws.version"] == flowyml_aws.__version__
    assert image["tag"].startswith(f"py{PYTHON}-")


def test_one_that_is_there_is_not_built_again(image: dict[str, Any], digits: Path) -> None:
    code, out, _ = Place("batch", digits).command("image", "build")
    assert (code, out) == (0, f"{image['image']} is here already\n")


def test_show_tells_what_it_is_made_of_and_where_it_is(image: dict[str, Any], digits: Path) -> None:
    code, out, _ = Place("batch", digits).command("image", "show")
    assert code == 0
    told = [line.split(maxsplit=1) for line in out.splitlines()]
    assert [image["image"]] in told
    assert ["base", BASE] in told
    assert ["here", "yes"] in told
    assert "dependencies in pyproject.toml: matplotlib, numpy, scikit-learn" in out


def test_without_a_command_it_is_the_runner(engine: Engine, image: dict[str, Any]) -> None:
    command = [engine.program, "run", "--rm", "--network", "host", image["image"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "usage: python -m flowyml_aws.runtime" in done.stdout + done.stderr
    assert done.returncode == 11


def test_a_base_with_another_python_is_refused(
    engine: Engine, digits: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_of(digits)
    other = replace(recipe, arguments={**recipe.arguments, "PYTHON_VERSION": "2.7"})
    with pytest.raises(FlowymlError, match="can't be built"):
        ProjectImage(other, None).build(engine, None)
    assert f"the base image has Python {PYTHON}, not 2.7" in capfd.readouterr().err


def test_the_image_for_gpus_brings_its_python_to_a_base_that_has_none(
    engine: Engine, image: dict[str, Any], digits: Path
) -> None:
    recipe = recipe_of(digits, {"FLOWYML_AWS_BASE_IMAGE": "gpu"})
    # CUDA's own image can't be had here: one without it, and without a registry of packages.
    arguments = {"BASE_IMAGE": BASE, "PYTHON_IMAGE": BASE, "SYSTEM_PACKAGES": ""}
    own = ProjectImage(replace(recipe, arguments={**recipe.arguments, **arguments}), None)
    own.build(engine, None)
    ask = "import os, numpy, flowyml_aws.runtime.job; print(os.getuid(), numpy.arange(3).sum())"
    command = [engine.program, "run", "--rm", "--network", "host", own.uri, "python", "-c", ask]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "10001 3\n"
