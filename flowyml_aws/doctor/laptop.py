"""The checks of this machine and of the project."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.findings import Finding
from flowyml_aws.settings import Settings

__all__ = ["check_local_store", "check_machine", "no_account"]

_LITTLE_BYTES = 10**9


def check_machine() -> Sequence[Finding]:
    """What runs here."""
    system = f"{platform.system()} {platform.machine()}"
    python = f"Python {platform.python_version()}"
    return [Finding("machine", "ok", f"{python} on {system}, {os.cpu_count()} CPUs")]


def check_local_store(project: Path, settings: Settings) -> Sequence[Finding]:
    """Whether runs on this machine can be kept.

    Raises:
        SettingsError: The folder can't be written.
    """
    folder = project / settings.local_store
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise SettingsError(
            what=f"Runs on this machine can't be kept in {folder}",
            why=f"{existing} can't be written" if existing.is_dir() else f"{existing} is a file",
            fix="give yourself the right to write there, or set `local_store`",
        )
    free = shutil.disk_usage(existing).free
    told = f"Runs on this machine are kept in {folder}"
    if free < _LITTLE_BYTES:
        why = f"{free / 1e6:,.0f} MB are free there"
        fix = "make room (`flowyml-aws gc --older-than 30d`), or set `local_store`"
        return [Finding("disk-full", "warning", told, why, fix)]
    return [Finding("local-store", "ok", f"{told} ({free / 1e9:,.0f} GB free)")]


def no_account() -> Finding:
    """Nothing on AWS is set up, which is no mistake."""
    return Finding(
        "no-account",
        "note",
        "No AWS account is set up: pipelines run on this machine only",
        "neither the setting `account` nor `store` is there",
        "set account to the name that infra/ was set up with (FLOWYML_AWS_ACCOUNT), or try "
        "AWS without one: `flowyml-aws emulate`",
    )
