"""Folders of external inputs, as the steps of a job read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flowyml_aws.artifacts.folder_scan import scan_folder
from flowyml_aws.artifacts.prefix_listing import PrefixListing
from flowyml_aws.core.errors import ChangedFileError, InvalidDataError
from flowyml_aws.runtime.spec import FolderInPlace

__all__ = ["DownloadPrefix", "no_prefixes", "unchanged_folder"]

DownloadPrefix = Callable[[PrefixListing, str, Path, float], Path]
"""Writes the objects of a listing to a new folder, and returns its path. The other arguments are
the name of the asset, the folder that gets the new one, and the seconds for which it waits for S3
if that does not answer."""


def no_prefixes(listing: PrefixListing, asset: str, folder: Path, wait_s: float) -> Path:
    """Refuse to read a prefix, in processes without access to S3."""
    raise NotImplementedError(f"can't read {listing.uri}")


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
