"""How the user can call this program."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

__all__ = ["program"]

_NAME = "flowyml-aws"


def program() -> str:
    """The command as it works in the user's shell, also where its environment is not active."""
    beside = Path(sys.executable).with_name(_NAME)
    if shutil.which(_NAME) is not None or not beside.exists():
        return _NAME
    return os.path.relpath(beside) if Path.cwd() in beside.parent.parents else str(beside)
