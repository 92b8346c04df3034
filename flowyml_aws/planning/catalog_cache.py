"""Writes a region's catalog where plans read it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.planning.catalog_documents import Prices, Specifications, as_rows

__all__ = ["write_catalog"]


def write_catalog(folder: Path, specifications: Specifications, prices: Prices) -> None:
    """Put both documents into a folder, in place of those that are there.

    Both are written aside first, and only then renamed: a full disk leaves the old ones.

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
            fix="make room or give yourself the right to write there, or set another folder "
            "(XDG_CACHE_HOME)",
        ) from error


def _replace(folder: Path, contents: Mapping[str, bytes]) -> None:
    with ExitStack() as undo:
        aside = {}
        for name, data in contents.items():
            descriptor, path = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
            undo.callback(Path(path).unlink, missing_ok=True)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            aside[name] = Path(path)
        for name, written in aside.items():
            written.replace(folder / name)
