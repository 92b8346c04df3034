from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.places import emulator_settings

__all__ = ["emulator_settings"]

# The same examples in every run: a red test is red again. No deadline: machines are slow at times.
settings.register_profile("repeatable", derandomize=True, print_blob=True, deadline=None)
# HYPOTHESIS_PROFILE=search looks for new ones, for longer.
settings.register_profile("search", max_examples=3000, print_blob=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(autouse=True, scope="session")
def no_refreshed_catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Plans are made with the catalog in the package, whatever this machine has refreshed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
