from __future__ import annotations

import os

from hypothesis import settings

from tests.support.places import emulator_settings

__all__ = ["emulator_settings"]

# The same examples in every run: a red test is red again. No deadline: machines are slow at times.
settings.register_profile("repeatable", derandomize=True, print_blob=True, deadline=None)
# HYPOTHESIS_PROFILE=search looks for new ones, for longer.
settings.register_profile("search", max_examples=3000, print_blob=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
