from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import flowyml_aws

EXAMPLES = Path(__file__).parents[2] / "examples"
Python = Callable[..., "subprocess.CompletedProcess[str]"]


def copy_examples(folder: Path) -> Path:
    """Copy the examples into a new project, so that runs leave no files in the repository."""
    shutil.copytree(EXAMPLES, folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "pyproject.toml").touch()
    (folder / "tmp").mkdir()
    return folder


def run_python(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a new `python …` in this project, without the settings of an AWS account."""
    environment = {
        **{name: value for name, value in os.environ.items() if not _is_aws_setting(name)},
        "PYTHONPATH": str(Path(flowyml_aws.__path__[0]).parent),
        "TMPDIR": str(project / "tmp"),
        "COLUMNS": "120",
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _is_aws_setting(name: str) -> bool:
    return name.startswith(("AWS_", "FLOWYML_"))


@pytest.fixture(scope="session")
def demo(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The project in which the command of `make demo` ran, and the finished process."""
    project = copy_examples(tmp_path_factory.mktemp("demo"))
    return project, run_python(project, "examples/digits/pipeline.py")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the examples as the working folder; modules imported from it are unloaded."""
    for name in filter(_is_aws_setting, list(os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.chdir(copy_examples(tmp_path))
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(f"{tmp_path}/"):
            del sys.modules[name]


@pytest.fixture
def python(project: Path) -> Python:
    """A function that runs `python …` in the project."""
    return lambda *arguments: run_python(project, *arguments)
