"""Python imports this when it starts, if this folder is on its path: a faster clock, a full disk.

That is the only way into a job on this machine, which is a fresh process.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

from flowyml_aws.core.clock import run_faster
from tests.chaos.waits import SPEED

__all__: list[str] = []

_STORE = "/.flowyml/aws/"


def _fill_disk(event: str, arguments: tuple[Any, ...]) -> None:
    """Let no file be created in the store of a project while there is a file `PROJECT.full`."""
    if event != "open":
        return
    path, _, flags = arguments
    project, is_store, _ = str(path).partition(_STORE)
    # pathlib is not imported: this runs in every Python process of a job, at each `open`.
    if is_store and flags & os.O_CREAT and os.path.exists(f"{project}.full"):  # noqa: PTH110
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


run_faster(SPEED)
sys.addaudithook(_fill_disk)
