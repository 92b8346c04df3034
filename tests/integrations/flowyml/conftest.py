from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.rigs import BackendRig, emulator_settings, new_rig

__all__ = ["emulator_settings"]


def forget() -> None:
    """What FlowyML remembers in this process: its files, its stacks, its steps."""
    import flowyml.plugins.config as plugins
    import flowyml.stacks.registry as stacks
    import flowyml.utils.config as config
    from flowyml import clear_step_registry
    from flowyml.core.hooks import HookRegistry, get_global_hooks
    from flowyml.plugins.stack_config import StackManager

    clear_step_registry()
    StackManager.reset()
    plugins._config = None
    stacks._global_registry = None
    config._global_config = None
    vars(get_global_hooks()).update(vars(HookRegistry()))


@pytest.fixture(params=["local", "batch", "sagemaker"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def project(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[BackendRig]:
    """A project with the `flowyml.yaml` of the documentation, in which this process works."""
    rig = new_rig(backend, tmp_path, request)
    with entered(rig):
        yield rig


@pytest.fixture
def local_project(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[BackendRig]:
    rig = new_rig("local", tmp_path, request)
    with entered(rig):
        yield rig


class entered:
    def __init__(self, rig: BackendRig) -> None:
        self._place, self._entered = rig, rig.entered()

    def __enter__(self) -> None:
        patch = self._entered.__enter__()
        from flowyml import Pipeline

        write_stacks(self._place)
        # The project of steps in a test is this repository: nothing is left there.
        patch.setenv("FLOWYML_AWS_LOCAL_STORE", str(self._place.folder / ".flowyml" / "aws"))
        patch.setenv("HOME", str(self._place.folder.parent))
        # It would start a web server on this machine that outlives the tests.
        patch.setattr(Pipeline, "_ensure_ui_server", lambda *_: (None, None, False))
        forget()
        logging.disable(logging.CRITICAL)

    def __exit__(self, *told: Any) -> None:
        logging.disable(logging.NOTSET)
        forget()
        self._entered.__exit__(*told)


def write_stacks(rig: BackendRig, orchestrator: str = "", active: str = "aws") -> None:
    """Write flowyml.yaml; by default as the documentation shows it."""
    told = orchestrator or f"{{type: flowyml_aws, backend: {rig.backend}}}"
    (rig.folder / "flowyml.yaml").write_text(
        f"stacks:\n  aws:\n    orchestrator: {told}\nactive_stack: {active}\n"
    )


@pytest.fixture
def script(project: BackendRig) -> Callable[[str], dict[str, Any]]:
    """Runs a text as the script of the project; its variables."""

    def run(text: str) -> dict[str, Any]:
        file = project.folder / "script.py"
        file.write_text(text, "utf-8")
        names: dict[str, Any] = {"__name__": "__main__", "__file__": str(file)}
        exec(compile(text, str(file), "exec"), names)
        return names

    return run
