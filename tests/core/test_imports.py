"""Programs import their modules without garbage collection."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from flowyml_aws.core.imports import uncollected

PROGRAMS = ("flowyml_aws.runtime.load", "flowyml_aws.job.__main__", "flowyml_aws.cli")
COUNT = """
import gc, importlib, sys, flowyml_aws.scripts
for name in sys.argv[1:]:
    frozen, collections = gc.get_freeze_count(), []
    gc.callbacks[:] = [lambda phase, info: collections.append(phase)]
    importlib.import_module(name)
    print(name, len(collections) < 5, gc.get_freeze_count() > frozen, gc.isenabled())
"""


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    was_enabled = gc.isenabled()
    yield
    (gc.enable if was_enabled else gc.disable)()


@pytest.mark.parametrize("is_enabled", [True, False])
def test_the_collector_is_afterwards_as_it_was(is_enabled: bool) -> None:
    (gc.enable if is_enabled else gc.disable)()
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled() is is_enabled


def test_a_failed_import_enables_the_collector_and_exempts_nothing() -> None:
    gc.enable()
    frozen = gc.get_freeze_count()
    with pytest.raises(ImportError), uncollected():
        raise ImportError
    # Not equal: an object that was exempted before may have been freed since then.
    assert gc.isenabled() and gc.get_freeze_count() <= frozen


@pytest.mark.contract
def test_programs_import_their_modules_without_garbage_collection() -> None:
    command = [sys.executable, "-c", COUNT, *PROGRAMS]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.splitlines() == [f"{name} True True True" for name in PROGRAMS]
