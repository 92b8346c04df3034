"""The environment of the image of jobs that run as processes."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

__all__ = ["image_environment"]

_KEPT_VARIABLES = ("PATH", "HOME", "LANG")


def image_environment() -> dict[str, str]:
    """Return the environment of a job's image, in which it can import this package."""
    return {
        **{name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
        "PYTHONPATH": str(_folder_of_this_package()),
        "PYTHONUNBUFFERED": "1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


@cache
def _folder_of_this_package() -> Path:
    """Return a folder for the path of jobs, which contains this package as if it was installed.

    Its checkout contains modules that images do not have. All emulators of a process use the same
    folder, so that they can use the same warm process.
    """
    folder = Path(tempfile.mkdtemp(prefix="flowyml-aws-image-"))
    package = Path(__file__).resolve().parents[2]
    (folder / package.name).symlink_to(package, target_is_directory=True)
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: Path, process_id: int) -> None:
    if os.getpid() == process_id:  # not a fork
        shutil.rmtree(folder, ignore_errors=True)
