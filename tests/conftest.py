from __future__ import annotations

import functools
import gc
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import scripts
from flowyml_aws.packaging.starting import starting_with
from flowyml_aws.testing.machines.warm_programs import WarmPrograms
from tests.support import clients
from tests.support.collecting import collect_less_often
from tests.support.effort import load_profile
from tests.support.memory_files import move_temporary_files
from tests.support.permissions import UsedGrants
from tests.support.rigs import HERMETIC, ambient, emulator_settings
from tests.support.rings import guarded, ring_of, watch

__all__ = ["emulator_settings"]

MAIN = sys.modules["__main__"]
FREEZE_AFTER = 50  # tests
_tests_run = 0
_memory = pytest.StashKey[Path | None]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough",
        action="store_true",
        help="also run the tests marked `thorough`, with more Hypothesis examples and more jobs",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Workers inherit the folder. Images and whole accounts of thorough tests need too much memory.
    is_worker = hasattr(config, "workerinput")
    is_moved = not is_worker and not config.getoption("--thorough")
    config.stash[_memory] = move_temporary_files() if is_moved else None
    # Some container images set it. Each process then compiles all that it imports: twice the time.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # A shell ignores it in commands that end with `&`, and clients that tests start inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # `nohup` ignores it
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # Before the test modules are imported, as their settings are multiples of the profile's.
    load_profile(is_thorough=config.getoption("--thorough"))
    watch()
    config.pluginmanager.register(UsedGrants(config), "used-grants")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """Disable garbage collection during imports, and collect less often afterwards."""
    gc.disable()  # the many objects of imports are never freed
    try:
        return (yield)
    finally:
        collect_less_often()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="thorough: `make test-all` runs it")
    for item in items:
        ring_of(item)  # fails if there is more than one
        if item.get_closest_marker("thorough") and not config.getoption("--thorough"):
            item.add_marker(skip)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    global _tests_run
    is_sensitive = item.get_closest_marker("version_sensitive") is not None
    with guarded(item), clients.new_pythons() if is_sensitive else nullcontext():
        result = yield
    _tests_run += 1
    if _tests_run % FREEZE_AFTER == 0:
        # Modules, caches and reports stay until the end. The runner collects garbage for each job,
        # which takes half a second once a process has searched through 1 GB of them.
        with warnings.catch_warnings():
            # What tests have left open on purpose, such as files in refused values, ends here.
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        gc.freeze()
    return result


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    folder = session.config.stash[_memory]
    if folder is not None and exitstatus == pytest.ExitCode.OK:
        shutil.rmtree(folder, ignore_errors=True)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if terminalreporter.stats.get("failed"):
        folder = config.stash[_memory]
        if folder is not None:
            terminalreporter.write_line(f"temporary files, until the next run: {folder}")
        seed = config.getoption("--hypothesis-seed")
        thorough = " --thorough" if config.getoption("--thorough") else ""
        terminalreporter.write_line(f"same Hypothesis examples: --hypothesis-seed={seed}{thorough}")


@pytest.fixture(scope="session")
def is_thorough(pytestconfig: pytest.Config) -> bool:
    """True in `make test-all`, which runs more examples and more jobs than `make test`."""
    return bool(pytestconfig.getoption("--thorough"))


@pytest.fixture(autouse=True)
def own_main() -> Iterator[None]:
    """Restore `__main__`, which a file that a test or a fixture loads as its script replaces."""
    # Not with the fixture `monkeypatch`: tests need one that ends before their other fixtures.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "__main__", MAIN)
        patch.setattr(scripts, "_state", scripts._State())
        yield
    # A runner in this process sets it for its children, so that a client would be one of them.
    os.environ.pop(scripts.PROGRAM_VARIABLE, None)


@pytest.fixture(autouse=True, scope="session")
def no_account_and_no_caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Isolate all tests from this machine's AWS accounts and its refreshed catalog."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    with pytest.MonkeyPatch.context() as patch:
        for name in ambient():
            patch.delenv(name)
        for name, value in HERMETIC.items():
            patch.setenv(name, value)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        # Math threads of several test processes compete for cores, and take three times as long.
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            patch.setenv(name, "1")
        # Reuse the font cache: building it takes seconds.
        patch.setenv("MPLCONFIGDIR", os.environ.get("MPLCONFIGDIR") or str(caches / "matplotlib"))
        yield


@pytest.fixture(autouse=True, scope="session")
def shared_models() -> Iterator[None]:
    """Let botocore sessions of tests share the service models that one of them has read."""
    if "botocore.session" not in sys.modules:  # no test creates a session itself
        yield
        return
    from botocore.loaders import create_loader

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", functools.cache(create_loader))
        yield


@pytest.fixture(scope="session")
def warm_imports() -> Sequence[str]:
    """Modules that warm starts import in addition to those of this package."""
    return ()


@pytest.fixture(autouse=True, scope="session")
def warm_programs(no_account_and_no_caches: None, warm_imports: Sequence[str]) -> Iterator[None]:
    """Fork clients, and the jobs and trial loads of pipelines, where that works."""
    if sys.platform != "linux":
        yield
        return
    programs = WarmPrograms(warm_imports)
    with starting_with(programs), clients.forked_clients():
        yield
    programs.stop()


@pytest.fixture
def new_pythons() -> Iterator[None]:
    """Start a new Python for each client of the test, as in tests marked `version_sensitive`."""
    with clients.new_pythons():
        yield
