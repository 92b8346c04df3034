"""Where tests run pipelines: a backend, a project of its own, and the settings to use them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

import flowyml_aws

if TYPE_CHECKING:
    from flowyml_aws import Pipeline

__all__ = ["Place", "a_place", "emulator_settings", "eventually"]

# AWS settings and credentials of this machine are not for tests.
HERMETIC = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
PIPELINES = Path(__file__).parent / "pipelines"
CHECKOUT = Path(flowyml_aws.__path__[0]).parent
DEADLINE_S = 60

Answer = TypeVar("Answer")


def eventually(ask: Callable[[], Answer], what: str = "it") -> Answer:
    """What `ask` answers as soon as that is true."""
    deadline = time.monotonic() + DEADLINE_S
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"{what} did not happen within {DEADLINE_S} s"
        time.sleep(0.02)
    return answer


@dataclass(frozen=True)
class Place:
    """A project in `folder`, whose pipelines run on `backend` with the settings in `environment`.

    Attributes:
        trace: A file that the steps of the test pipelines add a line to, each time they run.
    """

    backend: str
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "pyproject.toml").touch()

    @property
    def trace(self) -> Path:
        return self.folder.parent / f"{self.folder.name}.trace"

    def ran(self) -> list[str]:
        """The steps that ran so far, in order of their starts."""
        return self.trace.read_text("utf-8").splitlines() if self.trace.is_file() else []

    def write(self, name: str) -> Path:
        """The file of one of the test pipelines, copied into the project."""
        return Path(shutil.copy(PIPELINES / f"{name}.py", self.folder))

    def pipeline(self, name: str, **context: object) -> Pipeline:
        """One of the test pipelines, `FILE` or `FILE:PIPELINE`; call it inside `entered`."""
        from flowyml_aws.cli.load import load_pipeline

        file, colon, variable = name.partition(":")
        pipeline = load_pipeline(f"{self.write(file)}{colon}{variable}")
        pipeline.context = pipeline.context.inherit(trace=str(self.trace), **context)
        return pipeline

    @contextmanager
    def entered(self) -> Iterator[pytest.MonkeyPatch]:
        """As if this process was started in the project."""
        modules = set(sys.modules)
        with pytest.MonkeyPatch.context() as patch:
            for name in ambient():
                patch.delenv(name)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            patch.chdir(self.folder)
            patch.setattr(sys, "path", list(sys.path))
            try:
                yield patch
            finally:
                Path(f"{self.trace}.go").touch()  # what still waits, of a test that failed, ends
                # The next test imports a file of the same name from its own project.
                for name in set(sys.modules) - modules:
                    file = str(getattr(sys.modules[name], "__file__", None))
                    if file.startswith(str(self.folder)):
                        del sys.modules[name]

    @contextmanager
    def client(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Python in a process of its own, started in the project."""
        inherited = {name: os.environ[name] for name in os.environ.keys() - ambient()}
        with subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**inherited, "PYTHONPATH": str(CHECKOUT), **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def command(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, output and complaints of `flowyml-aws` in a process of its own."""
        with self.client("-m", "flowyml_aws", *arguments) as process:
            out, err = process.communicate(timeout=DEADLINE_S)
        return process.returncode, out, err


def ambient() -> set[str]:
    """Variables of this process that would lead a client elsewhere."""
    names = {name for name in os.environ if name.startswith(("AWS_", "FLOWYML_"))}
    return names - HERMETIC.keys()


def a_place(backend: str, folder: Path, request: pytest.FixtureRequest) -> Place:
    """A new project for a backend; on AWS, with a store of its own in the emulated account.

    `mixed` takes turns: every other group goes to SageMaker.
    """
    if backend == "local":
        return Place("local", folder / "project")
    settings = dict(request.getfixturevalue("emulator_settings"))
    settings["FLOWYML_AWS_STORE"] += f"/{uuid.uuid4().hex}"
    return Place(backend, folder / "project", settings)


@pytest.fixture(scope="session")
def emulator_settings() -> Iterator[Mapping[str, str]]:
    """The settings of an emulated account, which a process of its own serves."""
    with subprocess.Popen(
        [sys.executable, "-m", "flowyml_aws", "emulate"],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        settings = {}
        for line in process.stdout:
            word, setting = shlex.split(line)
            assert word == "export"
            name, _, value = setting.partition("=")
            settings[name] = value
            if name == "FLOWYML_AWS_POLL_S":  # the last one
                break
        yield {**settings, "FLOWYML_AWS_POLL_S": "0.1"}
        process.terminate()
        assert process.wait(timeout=DEADLINE_S) == 0
