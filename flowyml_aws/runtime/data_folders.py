"""Folders of external inputs, as the steps of a job read them."""

from __future__ import annotations

from pathlib import Path

from flowyml_aws.artifacts.folder_scan import scan_folder
from flowyml_aws.core.errors import ChangedFileError, InvalidDataError
from flowyml_aws.runtime.spec import FolderInPlace

__all__ = ["unchanged_folder"]


def unchanged_folder(asset: str, folder: FolderInPlace) -> Path:
    """Return the path of a folder that is read in place.

    Args:
        asset: Name of the asset, for the message.
        folder: The folder.

    Raises:
        ChangedFileError: A file was added, removed or written since the run was planned.
    """
    path = Path(folder.path)
    try:
        if scan_folder(path).state == folder.state:
            return path
        why = "a file in it was added, removed or written"
    except InvalidDataError as error:
        why = error.why
    raise ChangedFileError(
        what=f"The folder of input {asset!r} has changed since the run was planned: {path}",
        why=f"{why}, and its result would be stored as that of the earlier files",
        fix="run the pipeline again; a step that changes files works on a copy (shutil.copytree)",
    )
