"""Values as files or as text, for `flowyml-aws get`."""

from __future__ import annotations

import shutil
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flowyml_aws.cli.formats import ENDINGS, Format, as_json, formats_of
from flowyml_aws.core.amounts import counted
from flowyml_aws.core.errors import SettingsError

__all__ = ["save_list", "save_to", "show"]

_SAME = {".jpeg": ".jpg", ".pickle": ".pkl", ".feather": ".arrow"}
# Text in these formats is written as it is.
_TEXTS = frozenset({".csv", ".json", ".svg"})


def save_to(value: Any, out: Path) -> str:
    """Write a value to a file, and return the name of the format.

    The file's ending selects the format (see `formats.py`). Files and folders are copied, and
    bytes are written unchanged, as are strings unless a binary format is selected. With another
    ending, arrays are written as `.npy`, values that JSON can represent as JSON, and everything
    else as a pickle.

    Raises:
        SettingsError: The file can't be written, or the value can't be written in this format.
    """
    ending = out.suffix.lower()
    try:
        if isinstance(value, Path):
            return _copy(value, out, ending)
        if isinstance(value, bytes) and ending not in (".pkl", ".pickle"):
            return _write(out, "bytes", lambda target: target.write_bytes(value))
        if isinstance(value, str) and (ending not in ENDINGS or ending in _TEXTS):
            return _write(out, "text", lambda target: target.write_text(value, "utf-8"))
        return _write(out, *_format(value, out, ending))
    except OSError as error:
        raise _unwritable(out, error) from error


def save_list(values: Mapping[str, Any], out: Path) -> str:
    """Write the values of the items of a list, and return the name of the format.

    With an ending that selects a format, the list is one file, as is a list that JSON can represent
    (see `save_to`). Any other list becomes a folder with a file for each item, named after its
    position.

    Args:
        values: Values by the names of their assets: `model[3]`.
        out: Target file or folder.

    Raises:
        SettingsError: A file can't be written, or the list can't be written in this format.
    """
    items = list(values.values())
    if out.suffix.lower() in ENDINGS or as_json(items) is not None:
        return save_to(items, out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(out, error) from error
    for name, value in values.items():
        position = name.rpartition("[")[2].removesuffix("]")
        save_to(value, out / f"{position}{_ending_of(value)}")
    return f"a folder with {counted(len(values), 'file')}"


def show(value: Any) -> str:
    """Return a value as text for a terminal."""
    if isinstance(value, (str, Path)):
        return str(value)
    return as_json(value) or repr(value)


def _unwritable(out: Path, error: OSError) -> SettingsError:
    return SettingsError(
        what=f"Can't write to {out}",
        why=error.strerror or str(error),
        fix="choose a file in a folder that exists and is writable",
    )


def _ending_of(value: Any) -> str:
    """Return the ending of the file of an item."""
    if isinstance(value, Path):
        return value.suffix
    if isinstance(value, bytes):
        return ".bin"
    if isinstance(value, str):
        return ".txt"
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        return ".npy"
    return ".json" if as_json(value) is not None else ".pkl"


def _copy(value: Path, out: Path, ending: str) -> str:
    if value.is_dir():
        shutil.copytree(value, out, symlinks=True, dirs_exist_ok=True)
        return "a folder"
    target = out / value.name if out.is_dir() else out
    own = value.suffix.lower()
    if {own, ending} <= ENDINGS.keys() and _SAME.get(own, own) != _SAME.get(ending, ending):
        raise _no_format(out, f"the value is the file {value.name}, which is copied", [own])
    shutil.copy(value, target)
    return "a file"


def _format(value: Any, out: Path, ending: str) -> Format:
    formats = formats_of(value)
    if ending not in ENDINGS:
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(value, numpy.ndarray):
            return "a .npy array", formats[".npy"][1]
        if as_json(value) is not None:
            return formats[".json"]
        return "a pickle (load it with cloudpickle.load)", formats[".pkl"][1]
    if ending not in formats:
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        raise _no_format(out, f"a value of {kind} has no {ENDINGS[ending]} format", list(formats))
    return formats[ending]


def _write(out: Path, name: str, write: Callable[[Path], object]) -> str:
    """Write a file completely or not at all."""
    if out.is_dir():
        raise IsADirectoryError(f"{out} is a folder")
    # With the same ending, which selects the format of pictures.
    partial = out.with_name(f".{uuid.uuid4().hex}{out.suffix.lower()}")
    try:
        write(partial)
        partial.replace(out)
    except OSError:
        raise
    except Exception as error:  # the library of the value can raise anything
        raise _no_format(out, f"{type(error).__name__}: {error}", [".pkl"]) from error
    finally:
        partial.unlink(missing_ok=True)
    return name


def _no_format(out: Path, why: str, endings: list[str]) -> SettingsError:
    return SettingsError(
        what=f"Can't write the value to {out}",
        why=why,
        fix=f"choose a file name that ends in {' or '.join(endings)}",
    )
