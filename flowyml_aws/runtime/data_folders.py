"""Folders of external inputs, as the steps of a job read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from flowyml_aws.artifacts.folder_scan import scan_folder
from flowyml_aws.artifacts.prefix_listing import PrefixListing
from flowyml_aws.core.errors import ChangedFileError, InvalidDataError
from flowyml_aws.runtime.spec import FolderInPlace

__all__ = ["OpenPrefixes", "Prefixes", "no_prefixes", "unchanged_folder"]


class Prefixes(Protocol):
    """Access of a job to prefixes of S3."""

    def download(self, listing: PrefixListing, asset: str, folder: Path) -> Path:
        """Write the objects of a listing to a new folder, and return its path.

        Raises:
            ChangedFileError: An object of the listing was changed or deleted.
        """

    def check(self, listing: PrefixListing) -> None:
        """Check that a prefix has exactly the objects of a listing.

        Raises:
            ChangedFileError: An object was changed, added or deleted.
        """


OpenPrefixes = Callable[[float], Prefixes]
"""Opens the access to S3, which waits for as many seconds if S3 does not answer."""


def no_prefixes(wait_s: float) -> Prefixes:
    """Refuse to open S3, in processes that read no prefixes."""
    raise NotImplementedError("this process can't read prefixes of S3")


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
