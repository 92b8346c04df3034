"""Writing of a region's catalog to the folder from which plans read it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from flowyml_aws.catalog.documents import Prices, Specifications, as_rows
from flowyml_aws.core.errors import SettingsError

__all__ = ["write_catalog"]


def write_catalog(folder: Path, specifications: Specifications, prices: Prices) -> None:
    """Write both documents to a folder, replacing existing ones.

    Both are written to temporary files first and then renamed: a full disk keeps the old documents.

    Raises:
        SettingsError: The folder can't be written.
    """
    contents = {
        "specifications.json": as_rows(specifications),
        "prices.json": as_rows(prices),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder, contents)
    except OSError as error:
        raise SettingsError(
            what=f"The catalog can't be written to {folder}",
            why=str(error),
            fix="free disk space, allow writing to that folder, or set another folder "
            "(XDG_CACHE_HOME)",
        ) from error


def _replace(folder: Path, contents: Mapping[str, bytes]) -> None:
    with ExitStack() as undo:
        temporary = {}
        for name, data in contents.items():
            descriptor, file_name = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
            temporary[name] = Path(file_name)
            undo.callback(temporary[name].unlink, missing_ok=True)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
        for name, path in temporary.items():
            path.replace(folder / name)
