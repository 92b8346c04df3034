from __future__ import annotations

from tests.cli.conftest import cli, rig  # noqa: F401 - fixtures
