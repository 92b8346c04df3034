from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.rigs import BackendRig, emulator_settings, new_rig

__all__ = ["emulator_settings"]


@pytest.fixture(scope="session")
def warm_imports() -> Sequence[str]:
    """Packages that FlowyML imports: most of the CPU time of each job and trial load."""
    return ("httpx", "loguru", "pandas", "pytest", "sqlalchemy.orm", "yaml")


def reset_flowyml() -> None:
    """Reset the global state of FlowyML in this process: its files, stacks, steps and hooks."""
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
    """Enter a project with the `flowyml.yaml` of the documentation."""
    rig = new_rig(backend, tmp_path, request)
    with entered_project(rig):
        yield rig


@pytest.fixture
def local_project(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[BackendRig]:
    """Enter a project whose pipelines run on this machine."""
    rig = new_rig("local", tmp_path, request)
    with entered_project(rig):
        yield rig


@contextmanager
def entered_project(rig: BackendRig) -> Iterator[None]:
    with rig.entered() as patch:
        from flowyml import Pipeline

        write_stacks(rig)
        # Steps of a test belong to the project of this repository: keep their store out of it.
        patch.setenv("FLOWYML_AWS_LOCAL_STORE", str(rig.folder / ".flowyml" / "aws"))
        patch.setenv("HOME", str(rig.folder.parent))
        # It would start a web server that outlives the tests.
        patch.setattr(Pipeline, "_ensure_ui_server", lambda *_: (None, None, False))
        reset_flowyml()
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
            reset_flowyml()


def write_stacks(rig: BackendRig, orchestrator: str = "", active: str = "aws") -> None:
    """Write flowyml.yaml; by default as the documentation shows it."""
    orchestrator = orchestrator or f"{{type: flowyml_aws, backend: {rig.backend}}}"
    (rig.folder / "flowyml.yaml").write_text(
        f"stacks:\n  aws:\n    orchestrator: {orchestrator}\nactive_stack: {active}\n"
    )


@pytest.fixture
def script(project: BackendRig) -> Callable[[str], dict[str, Any]]:
    """Return a function that runs a script in the project and returns its global variables."""

    def run(source: str) -> dict[str, Any]:
        file = project.folder / "script.py"
        file.write_text(source, "utf-8")
        variables: dict[str, Any] = {"__name__": "__main__", "__file__": str(file)}
        exec(compile(source, str(file), "exec"), variables)
        return variables

    return run
