"""Imports of the package: fast, and with all public names."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import flowyml_aws

pytestmark = pytest.mark.version_sensitive

HEAVY = {"boto3", "botocore", "pydantic", "rich", "typer", "cloudpickle", "numpy", "psutil"}


def imported_by(code: str) -> set[str]:
    """Return the top-level modules that are loaded after this code, in a new process."""
    output = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        cwd=Path(flowyml_aws.__path__[0]).parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    return {name.partition(".")[0] for name in output.split()}


@pytest.mark.contract
@pytest.mark.parametrize(
    "code",
    [
        "import flowyml_aws",
        "from flowyml_aws import step, Pipeline, Context, ResourceRequirements, GPUConfig",
        "from flowyml_aws import VersionedPipeline",
        "from flowyml_aws.caching.fingerprint import fingerprint",
        "from flowyml_aws import step, Pipeline\n"
        "Pipeline('p').add_step(step(lambda: 1)).build().step_groups",
    ],
)
def test_writing_and_building_a_pipeline_imports_no_heavy_package(code: str) -> None:
    assert imported_by(code) & HEAVY == set()


@pytest.mark.contract
def test_a_run_without_progress_imports_no_terminal_package() -> None:
    code = """
from flowyml_aws import Pipeline
from flowyml_aws.core.errors import InvalidPipelineError
try:
    Pipeline("p").run(progress=False)
except InvalidPipelineError:
    import flowyml_aws.client.run, flowyml_aws.client.launch
"""
    loaded = imported_by(code)
    assert "pydantic" in loaded
    assert loaded & {"rich", "typer"} == set()


@pytest.mark.parametrize("name", flowyml_aws.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(flowyml_aws, name) is not None


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="'Pipelin'"):
        flowyml_aws.Pipelin  # noqa: B018


def public_members() -> Iterator[tuple[str, object]]:
    """Everything public in the package, and the public members of its classes."""
    for name in flowyml_aws.__all__:
        value = getattr(flowyml_aws, name)
        if name.startswith("__"):
            continue
        yield name, value
        if inspect.isclass(value):
            for member, function in vars(value).items():
                if not member.startswith("_") and (
                    callable(function) or isinstance(function, property)
                ):
                    yield f"{name}.{member}", function


@pytest.mark.parametrize(("name", "value"), [pytest.param(*m, id=m[0]) for m in public_members()])
def test_everything_public_has_a_docstring(name: str, value: object) -> None:
    assert inspect.getdoc(value), name
