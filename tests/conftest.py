from __future__ import annotations

from tests.support.places import emulator_settings

__all__ = ["emulator_settings"]
