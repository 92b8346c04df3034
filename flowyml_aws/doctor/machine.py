"""The checks of this machine and of the project."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.findings import Finding
from flowyml_aws.settings.model import Settings

__all__ = ["check_local_store", "check_machine", "no_account"]

_LOW_SPACE_BYTES = 10**9


def check_machine() -> Sequence[Finding]:
    """Report the Python version, the operating system and the CPUs."""
    system = f"{platform.system()} {platform.machine()}"
    python = f"Python {platform.python_version()}"
    return [Finding("machine", "ok", f"{python} on {system}, {os.cpu_count()} CPUs")]


def check_local_store(project: Path, settings: Settings) -> Sequence[Finding]:
    """Check that the local store is writable and has free space.

    Raises:
        SettingsError: The folder is not writable.
    """
    folder = project / settings.local_store
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise SettingsError(
            what=f"Can't store local runs in {folder}",
            why=f"{existing} is not writable" if existing.is_dir() else f"{existing} is a file",
            fix="make it a writable folder, or set `local_store`",
        )
    free = shutil.disk_usage(existing).free
    what = f"Local runs are stored in {folder}"
    if free < _LOW_SPACE_BYTES:
        why = f"its disk has only {free / 1e6:,.0f} MB of free space"
        fix = "free space with `flowyml-aws gc --older-than 30d`, or set `local_store`"
        return [Finding("disk-full", "warning", what, why, fix)]
    return [Finding("local-store", "ok", f"{what} ({free / 1e9:,.0f} GB free)")]


def no_account() -> Finding:
    """Return the finding that no AWS account is set up, which is not an error."""
    return Finding(
        "no-account",
        "note",
        "No AWS account is set up: pipelines run on this machine only",
        "the settings `account` and `store` are missing",
        "set account to the account name used with infra/ (FLOWYML_AWS_ACCOUNT), or try "
        "`flowyml-aws emulate`, which needs no account",
    )
