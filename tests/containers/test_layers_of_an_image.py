"""Layers of the images that `flowyml-aws image build` builds, and its intermediate images."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.images.client_package import ClientPackage, client_package
from flowyml_aws.images.engine import Engine
from flowyml_aws.images.project import ProjectImage
from flowyml_aws.images.recipe import ImageRecipe, project_recipe
from flowyml_aws.settings.load import load_settings
from tests.containers.conftest import BASE
from tests.support.company_index import company_index
from tests.support.wheels import write_wheel

pytestmark = [pytest.mark.system, pytest.mark.thorough, pytest.mark.xdist_group("containers")]


def output(engine: Engine, *arguments: str) -> str:
    done = subprocess.run([engine.program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def layers(engine: Engine, image: str) -> list[str]:
    text = output(engine, "image", "inspect", "--format", "{{json .RootFS.Layers}}", image)
    return list(json.loads(text))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two small requirements."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "requirements.txt").write_text("tabulate==0.9.0\nwheel\n")
    return folder


@pytest.fixture(scope="module")
def recipe(project: Path) -> ImageRecipe:
    return project_recipe(project, load_settings(project, {"FLOWYML_AWS_BASE_IMAGE": BASE}))


@pytest.fixture(scope="module")
def built(engine: Engine, recipe: ImageRecipe) -> Iterator[ImageRecipe]:
    """The recipe of an image that is on this machine."""
    image = ProjectImage(recipe, None)
    image.build(engine, None)
    yield recipe
    output(engine, "rmi", "--force", image.uri)


def changed_package(folder: Path) -> ClientPackage:
    """Return this checkout's package with one more file."""
    wheel = folder / client_package().requirement(folder)
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("flowyml_aws/more.py", "MORE = 1\n")
    return ClientPackage(client_package().version, "changed", wheel)


@pytest.mark.parametrize("change", ["nothing", "flowyml_aws", "a requirement"])
def test_only_the_layers_with_a_change_are_new(
    change: str, built: ImageRecipe, engine: Engine, tmp_path: Path
) -> None:
    before = layers(engine, ProjectImage(built, None).uri)
    # Built again even without a change: the name is new, and the first stage no longer exists.
    changed = replace(built, arguments={**built.arguments, "FLOWYML_AWS_VERSION": "again"})
    if change == "flowyml_aws":
        changed = replace(changed, package=changed_package(tmp_path))
    if change == "a requirement":
        lines = ("tabulate==0.8.10", *built.requirements.lines[1:])
        changed = replace(changed, requirements=replace(built.requirements, lines=lines))
    image = ProjectImage(changed, None)
    assert image.build(engine, None)
    after = layers(engine, image.uri)
    output(engine, "rmi", "--force", image.uri)
    expected = 0 if change == "nothing" else 1
    assert (len(set(after) - set(before)), len(after)) == (expected, len(before))


def test_a_build_leaves_no_image_of_its_first_stage(built: ImageRecipe, engine: Engine) -> None:
    broken = replace(built, arguments={**built.arguments, "PYTHON_VERSION": "2.7"})
    with pytest.raises(FlowymlError, match="Can't build"):
        ProjectImage(broken, None).build(engine, None)
    listed = output(engine, "images", "--all", "--filter", "label=flowyml-aws.stage", "--quiet")
    assert listed == ""


def test_the_standard_library_and_the_packages_are_compiled(
    engine: Engine, image: dict[str, Any]
) -> None:
    code = (
        "import importlib.util, pathlib, sys, json, numpy, flowyml_aws.job.__main__\n"
        "files = [m.__file__ for m in sys.modules.values() if (getattr(m, '__file__', None) or '')"
        ".endswith('.py')]\n"
        "cached = [pathlib.Path(importlib.util.cache_from_source(file)) for file in files]\n"
        "print(len(cached) > 300, [str(file) for file in cached if not file.is_file()])"
    )
    command = ["run", "--rm", "--network", "host", "--user", "10001", image["image"]]
    # Nothing is compiled by this process.
    assert output(engine, *command, "python", "-B", "-c", code) == "True []\n"
    # Compiled code that does not match its source is compiled again in memory, and slowly.
    verbose = subprocess.run(
        [engine.program, *command, "python", "-B", "-v", "-c", "import json, flowyml_aws"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "matches" in verbose.stderr
    assert "bytecode is stale" not in verbose.stderr


def test_the_certificates_of_a_company_are_used_in_the_build_and_in_jobs(
    engine: Engine, recipe: ImageRecipe, tmp_path: Path
) -> None:
    wheels = tmp_path / "wheels"
    write_wheel(wheels / "companypkg", "companypkg", "1.0", {"companypkg.py": "VALUE = 42\n"})
    with company_index(wheels, tmp_path / "company.pem") as url:
        lines = (f"--extra-index-url {url}", "companypkg==1.0")
        requirements = replace(recipe.requirements, lines=lines)
        without = replace(recipe, requirements=requirements)
        with pytest.raises(FlowymlError) as caught:
            ProjectImage(without, None).build(engine, None)
        assert "set `ca_certificates` to a file" in caught.value.fix
        settings = load_settings(
            tmp_path,
            {"FLOWYML_AWS_BASE_IMAGE": BASE, "FLOWYML_AWS_CA_CERTIFICATES": "company.pem"},
        )
        image = ProjectImage(
            replace(project_recipe(tmp_path, settings), requirements=requirements), None
        )
        assert image.build(engine, None)
        ask = (
            "import companypkg, urllib.request\n"
            f"print(companypkg.VALUE, urllib.request.urlopen('{url}').status)"
        )
        command = ("run", "--rm", "--network", "host", image.uri, "python", "-c", ask)
        answer = output(engine, *command)
        output(engine, "rmi", "--force", image.uri)
    assert answer == "42 200\n"
