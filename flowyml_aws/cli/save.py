"""Values as files or as text, for `flowyml-aws get`."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import cloudpickle

from flowyml_aws.core.errors import SettingsError

__all__ = ["save_to", "show"]


def save_to(value: Any, out: Path) -> str:
    """Write a value to a file, and return the name of the format.

    Files and folders are copied, bytes and strings are written unchanged, arrays as `.npy`, values
    that JSON can represent as JSON, and everything else as a pickle.

    Raises:
        SettingsError: The file can't be written.
    """
    try:
        return _save(value, out)
    except OSError as error:
        raise SettingsError(
            what=f"Can't write to {out}",
            why=error.strerror or str(error),
            fix="choose a file in a folder that exists and is writable",
        ) from error


def _save(value: Any, out: Path) -> str:
    if isinstance(value, Path):
        if value.is_dir():
            shutil.copytree(value, out, dirs_exist_ok=True)
            return "a folder"
        shutil.copyfile(value, out / value.name if out.is_dir() else out)
        return "a file"
    if isinstance(value, bytes):
        out.write_bytes(value)
        return "bytes"
    if isinstance(value, str):
        out.write_text(value, "utf-8")
        return "text"
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        with out.open("wb") as file:
            numpy.save(file, value, allow_pickle=False)
        return "a .npy array"
    text = _as_json(value)
    if text is not None:
        out.write_text(text, "utf-8")
        return "JSON"
    out.write_bytes(cloudpickle.dumps(value))
    return "a pickle (load it with cloudpickle.load)"


def show(value: Any) -> str:
    """Return a value as text for a terminal."""
    if isinstance(value, (str, Path)):
        return str(value)
    return _as_json(value) or repr(value)


def _as_json(value: Any) -> str | None:
    try:
        text = json.dumps(value, indent=1, ensure_ascii=False)
    except (TypeError, ValueError):
        return None
    # Tuples, and keys that are not strings, would be read back as other types.
    return text if json.loads(text) == value else None
