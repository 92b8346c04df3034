"""Test rigs: a backend, a temporary project, and the settings to run pipelines with them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

import flowyml_aws
from tests.support.clients import Client, start_client
from tests.support.permissions import used_grants

if TYPE_CHECKING:
    from flowyml_aws import Pipeline
    from flowyml_aws.testing import Emulator

__all__ = ["BackendRig", "emulator_settings", "eventually", "new_rig", "raised_emulator"]

# Tests must not use this machine's AWS settings and credentials.
HERMETIC = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
PIPELINES = Path(__file__).parent / "pipelines"
CHECKOUT = Path(flowyml_aws.__path__[0]).parent
SHARED_ACCOUNT = Path(__file__).with_name("shared_account.py")
DEADLINE_S = 60
_PYTHON = (sys.executable, "-X", "faulthandler")

Answer = TypeVar("Answer")


def eventually(ask: Callable[[], Answer], what: str = "it") -> Answer:
    """Call `ask` until its result is true, and return that result."""
    start = asked = time.monotonic()
    while not (answer := ask()):
        now = time.monotonic()
        assert now < start + DEADLINE_S, f"{what} did not happen within {DEADLINE_S} s"
        # A question that takes long is asked less often: what it waits for needs the CPU.
        time.sleep(max(0.02, now - asked))
        asked = time.monotonic()
    return answer


def raised_emulator(**options: Any) -> Emulator:
    """Return an emulator whose quotas no test reaches: a new account has none for GPUs.

    Listings show changes after up to half a second instead of five, because clients wait for them.
    """
    from flowyml_aws.testing import Emulator

    return Emulator(**{"quotas": "raised", "propagation_s": 0.5, **options})


@dataclass(frozen=True)
class BackendRig:
    """A project in `folder` whose pipelines run on `backend` with the settings in `environment`.

    Attributes:
        trace: File to which each step of the test pipelines appends a line when it runs.
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
        """Return the names of the steps that have started so far, in order."""
        return self.trace.read_text("utf-8").splitlines() if self.trace.is_file() else []

    def write(self, name: str) -> Path:
        """Copy the file of a test pipeline into the project, and return its path."""
        return Path(shutil.copy(PIPELINES / f"{name}.py", self.folder))

    def pipeline(self, name: str, **context: object) -> Pipeline:
        """Load a test pipeline, `FILE` or `FILE:PIPELINE`; call it inside `entered`."""
        from flowyml_aws.cli.load import load_pipeline

        file, colon, variable = name.partition(":")
        pipeline = load_pipeline(f"{self.write(file)}{colon}{variable}")
        pipeline.context = pipeline.context.inherit(trace=str(self.trace), **context)
        return pipeline

    @contextmanager
    def entered(self) -> Iterator[pytest.MonkeyPatch]:
        """Make this process behave as if it had been started in the project."""
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
                Path(f"{self.trace}.go").touch()  # ends the steps that a failed test left waiting
                # The next test can import a file with the same name from its own project.
                for name in set(sys.modules) - modules:
                    file = str(getattr(sys.modules[name], "__file__", None))
                    if file.startswith(str(self.folder)):
                        del sys.modules[name]

    @contextmanager
    def client(
        self, *arguments: str, folder: Path | None = None, script: str | None = None
    ) -> Iterator[Client]:
        """Run Python in another process.

        Args:
            arguments: Arguments of Python.
            folder: Working directory; by default, the project.
            script: Text for standard input, which is empty by default.
        """
        inherited = {name: os.environ[name] for name in os.environ.keys() - ambient()}
        environment = {**inherited, "PYTHONPATH": str(CHECKOUT), **self.environment}
        with closing(
            start_client(arguments, environment, folder or self.folder, script)
        ) as process:
            yield process

    def command(self, *arguments: str) -> tuple[int, str, str]:
        """Run `flowyml-aws` in another process; return its exit code, stdout and stderr."""
        with self.client("-m", "flowyml_aws", *arguments) as process:
            out, err = process.communicate(timeout=DEADLINE_S)
        return process.returncode, out, err


def ambient() -> set[str]:
    """Return the environment variables of this process that would affect a client."""
    names = {name for name in os.environ if name.startswith(("AWS_", "FLOWYML_"))}
    return names - HERMETIC.keys()


def new_rig(backend: str, folder: Path, request: pytest.FixtureRequest) -> BackendRig:
    """Create a project for a backend; on AWS, with a new store in the emulated account.

    With `mixed`, every other group runs on SageMaker.
    """
    if backend == "local":
        return BackendRig("local", folder / "project")
    settings = dict(request.getfixturevalue("emulator_settings"))
    settings["FLOWYML_AWS_STORE"] += f"/{uuid.uuid4().hex}"
    return BackendRig(backend, folder / "project", settings)


@pytest.fixture(scope="session")
def emulator_settings(warm_imports: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """Run an emulated account in another process, and yield its settings."""
    with subprocess.Popen(
        [*_PYTHON, str(SHARED_ACCOUNT), *warm_imports],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            with limited(process):
                settings = _exported(process)
            yield {**settings, "FLOWYML_AWS_POLL_S": "0.2"}
            assert process.stdin is not None and process.stdout is not None
            process.stdin.close()
            with limited(process):
                used = process.stdout.read()
                code = process.wait()
            used_grants.update(tuple(grant) for grant in json.loads(used or "[]"))
            assert code == 0, f"the emulator ended with {code}: SIGABRT after {DEADLINE_S} s"
        finally:
            process.kill()


@contextmanager
def limited(process: subprocess.Popen[str]) -> Iterator[None]:
    """Abort a process if the block takes too long. With faulthandler, it prints its threads."""
    timer = Timer(DEADLINE_S, process.send_signal, [signal.SIGABRT])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _exported(process: subprocess.Popen[str]) -> dict[str, str]:
    """Return the settings that an emulator prints, up to the last one."""
    assert process.stdout is not None
    settings = {}
    for line in process.stdout:
        word, setting = shlex.split(line)
        assert word == "export"
        name, _, settings[name] = setting.partition("=")
        if name == "FLOWYML_AWS_POLL_S":  # the last line
            return settings
    raise AssertionError(f"the emulator did not start within {DEADLINE_S} s, or has failed")
