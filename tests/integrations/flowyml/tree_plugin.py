"""Pytest plugin that runs FlowyML's own tests through this package's orchestrator.

`make flowyml FLOWYML_TESTS=…` loads it in a process whose package `tests` is FlowyML's, so it must
not import this repository's. It selects the tests that run a pipeline, and replaces the runner of
FlowyML's local orchestrator; an orchestrator that a test brings is left alone. The tests that can't
pass are in `cannot_pass.txt`.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cannot_pass import cannot_pass  # type: ignore[import-not-found]  # next to this file
from flowyml import clear_step_registry
from flowyml.core.orchestrator import LocalOrchestrator

from flowyml_aws.integrations.flowyml import FlowymlAws
from flowyml_aws.packaging.starting import starting_with
from flowyml_aws.testing.machines.warm_programs import WarmPrograms

IMPORTED = ("httpx", "loguru", "pandas", "pytest", "sqlalchemy.orm", "yaml")
"""Packages that FlowyML imports: most of the CPU time of each job and trial load."""
_RUNS = re.compile(r"\.(run|rerun|run_pipeline)\(")
_TESTS = re.compile(r"\bdef test_")
_RAN = "ran_a_pipeline"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Ignore files without tests that run a pipeline, among them scripts that run one on import."""
    if not (collection_path.is_file() and collection_path.name.startswith("test_")):
        return None
    content = collection_path.read_text("utf-8")
    return None if _RUNS.search(content) and _TESTS.search(content) else True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    running = [item for item in items if _RUNS.search(inspect.getsource(item.obj))]  # type: ignore[attr-defined]
    config.hook.pytest_deselected(items=[item for item in items if item not in running])
    items[:] = running
    reasons = cannot_pass()
    for item in items:
        if item.nodeid in reasons:
            item.add_marker(pytest.mark.xfail(reason=reasons[item.nodeid], strict=True))


@pytest.fixture(autouse=True, scope="session")
def warm_starts() -> Iterator[None]:
    """Fork jobs and trial loads from a process that has imported what they need."""
    if sys.platform != "linux":
        yield
        return
    programs = WarmPrograms(IMPORTED)
    with starting_with(programs):
        yield
    programs.stop()


@pytest.fixture(autouse=True)
def own_orchestrator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[None]:
    """Run the pipelines of a test as local jobs, with a store of its own."""

    def run_pipeline(_: LocalOrchestrator, *args: Any, **kwargs: Any) -> Any:
        if (_RAN, True) not in request.node.user_properties:
            request.node.user_properties.append((_RAN, True))
        orchestrator = FlowymlAws(backend="local", store_all=True, progress=False)
        return orchestrator.run_pipeline(*args, **kwargs)

    for name in list(os.environ):
        if name.startswith(("AWS_", "FLOWYML_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FLOWYML_AWS_LOCAL_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(LocalOrchestrator, "run_pipeline", run_pipeline)
    clear_step_registry()
    yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ran = dict.fromkeys(("passed", "failed", "xfailed"), 0)
    for outcome in ran:
        for report in terminalreporter.stats.get(outcome, ()):
            ran[outcome] += [_RAN, True] in map(list, report.user_properties)
    terminalreporter.write_line(
        f"tests that ran a pipeline as jobs: {ran['passed']} passed, {ran['xfailed']} cannot pass "
        f"(cannot_pass.txt has the reasons), {ran['failed']} failed"
    )
