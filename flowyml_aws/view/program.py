"""The command by which the user can call this program."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

__all__ = ["program"]

_NAME = "flowyml-aws"


def program() -> str:
    """Return a command that works in the user's shell, even if the environment is not active."""
    script = Path(sys.executable).with_name(_NAME)
    if shutil.which(_NAME) is not None or not script.exists():
        return _NAME
    return os.path.relpath(script) if Path.cwd() in script.parent.parents else str(script)
