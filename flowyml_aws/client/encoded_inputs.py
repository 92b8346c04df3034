"""External inputs of a run: encoded values, and folders that are read file by file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.content import MAX_PARTS, PART_BYTES, part_count
from flowyml_aws.artifacts.folder_scan import ScannedFolder, scan_folder
from flowyml_aws.artifacts.prefix_listing import PrefixListing
from flowyml_aws.artifacts.values import EncodedValue, encode_value
from flowyml_aws.core.amounts import counted
from flowyml_aws.core.data_inputs import LocalData, PrefixMode, S3Prefix, contains_data, is_data
from flowyml_aws.core.errors import FlowymlError, InvalidDataError
from flowyml_aws.planning.data import PlannedData

__all__ = [
    "EncodedInput",
    "EncodedInputs",
    "data_problems",
    "encode_inputs",
    "folders_of",
    "key_types",
]

_USES: Mapping[PrefixMode, str] = {
    "download": "each job that reads them downloads them",
    "mount": "each job reads them in S3 while its steps read the files",
    "auto": "each job reads them in S3 while its steps read the files if its service can mount "
    "them, or downloads them",
}


@dataclass(frozen=True, slots=True)
class EncodedInput:
    """An external input of a run.

    Attributes:
        value: Encoded value; that of a folder is the index of its files, and that of a prefix the
            listing of its objects. None if a prefix could not be listed.
        folder: Folder of this machine, or None.
        data: Size of the folder, and whether a service may mount it; None for another value.
        note: Note for the plan, or None.
    """

    value: EncodedValue | None
    folder: ScannedFolder | None = None
    data: PlannedData | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class EncodedInputs:
    """The external inputs of a run, by asset."""

    by_asset: Mapping[str, EncodedInput]

    @property
    def values(self) -> dict[str, EncodedValue]:
        """Encoded values that are known."""
        inputs = self.by_asset.items()
        return {asset: each.value for asset, each in inputs if each.value is not None}

    @property
    def folders(self) -> dict[str, ScannedFolder]:
        """Folders of this machine."""
        inputs = self.by_asset.items()
        return {asset: each.folder for asset, each in inputs if each.folder is not None}

    @property
    def data(self) -> dict[str, PlannedData]:
        """Folders, which jobs download or services mount."""
        inputs = self.by_asset.items()
        return {asset: each.data for asset, each in inputs if each.data is not None}

    @property
    def notes(self) -> list[str]:
        """Notes for the plan, with the sizes of the folders."""
        return [each.note for each in self.by_asset.values() if each.note is not None]


def encode_inputs(
    inputs: Mapping[str, Any],
    list_prefix: Callable[[S3Prefix], PrefixListing | None],
    free_bytes: int | None = None,
) -> EncodedInputs:
    """Encode the external inputs of a run. All files of folders of this machine are read.

    Args:
        inputs: Values by asset.
        list_prefix: Lists a prefix of S3; returns None if that is not possible.
        free_bytes: Free disk of this machine, if the jobs run here and read its folders without a
            copy; otherwise None.

    Raises:
        InvalidDataError: A folder or a prefix does not exist, is empty, has files that can't be
            read, or is too large for the disk of this machine.
        ChangedFileError: A file changed while it was read.
        AwsRefusedError: A prefix can't be listed.
        UnstorableValueError: A value can't be stored.
    """

    def encoded(asset: str, value: Any) -> EncodedInput:
        if isinstance(value, LocalData):
            return _encoded_folder(asset, value, free_bytes is not None)
        if isinstance(value, S3Prefix):
            return _encoded_prefix(asset, value, list_prefix(value), free_bytes)
        return EncodedInput(encode_value(asset, value))

    return EncodedInputs({asset: encoded(asset, value) for asset, value in inputs.items()})


def data_problems(
    inputs: Mapping[str, Any], context: Mapping[str, Any], project: Path
) -> list[FlowymlError]:
    """Return the mistakes in the use of folders as inputs that need no access to their files.

    Args:
        inputs: Values of external inputs.
        context: Context values.
        project: Root of the project.
    """
    problems: list[FlowymlError] = [
        InvalidDataError(
            what=f"Context value {name!r} is a {type(value).__name__}, or contains one",
            why="steps get folders only as inputs",
            fix=f"add inputs=[{name!r}] to the step, and pass the folder to the run: "
            f"inputs={{{name!r}: …}}",
        )
        for name, value in context.items()
        if contains_data(value)
    ]
    for name, value in inputs.items():
        if isinstance(value, LocalData) and project.is_relative_to(value.path.resolve()):
            problems.append(
                InvalidDataError(
                    what=f"Input {name!r} contains the project itself: {value.path}",
                    why="the code of the project is not data: it changes without the data, and "
                    "jobs get it in the bundle",
                    fix="move the data to a folder of its own, and pass that",
                )
            )
        elif contains_data(value) and not is_data(value):
            problems.append(
                InvalidDataError(
                    what=f"Input {name!r} contains a folder in a {type(value).__name__}",
                    why="each folder is an input of its own",
                    fix="give each folder a name in `inputs`, or map a step over a list of folders",
                )
            )
    return problems


def key_types(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of the types that steps get, which cache keys depend on."""
    return {asset: Path() if is_data(value) else value for asset, value in inputs.items()}


def folders_of(inputs: Mapping[str, Any]) -> Collection[Path]:
    """Return the folders of this machine among external inputs, as absolute paths."""
    listed = chain.from_iterable(
        v if isinstance(v, list | tuple) else (v,) for v in inputs.values()
    )
    return [each.path.resolve() for each in listed if isinstance(each, LocalData)]


def _encoded_folder(asset: str, data: LocalData, in_place: bool) -> EncodedInput:
    folder = scan_folder(data.path)
    if not in_place:
        _check_sizes(folder)
    index = folder.index()
    use = (
        "jobs read the folder itself"
        if in_place
        else "files that are not in the store are uploaded, and each job that reads them downloads "
        "them"
    )
    size = _size(len(index.files), "file", index.size_bytes)
    return EncodedInput(
        value=encode_value(asset, index),
        folder=folder,
        data=PlannedData(0 if in_place else index.size_bytes),
        note=f"input {asset!r} is the folder {data.path} ({size}): {use}",
    )


def _check_sizes(folder: ScannedFolder) -> None:
    """Check that each file can be an object of the store.

    Raises:
        InvalidDataError: A file is too large.
    """
    for file in folder.files:
        size = file.piece.size_bytes
        if part_count(size) > MAX_PARTS:
            raise InvalidDataError(
                what=f"File too large for an object of S3: {file.piece.path}",
                why=f"it has {_bytes(size)}; the limit is {_bytes(MAX_PARTS * PART_BYTES)}",
                fix="split the file",
            )


def _encoded_prefix(
    asset: str, prefix: S3Prefix, listing: PrefixListing | None, free_bytes: int | None
) -> EncodedInput:
    mount_uri = None if prefix.mode == "download" else prefix.uri
    must_mount = prefix.mode == "mount"
    if listing is None:
        note = f"input {asset!r}: {prefix.uri} was not listed, so its size is not in the plan"
        return EncodedInput(None, data=PlannedData(0, mount_uri, must_mount), note=note)
    size = _size(len(listing.objects), "object", listing.size_bytes)
    is_too_large = free_bytes is not None and listing.size_bytes > free_bytes
    if free_bytes is not None and is_too_large and not must_mount:
        raise InvalidDataError(
            what=f"Input {asset!r} is larger than the free disk of this machine: {prefix.uri}",
            why=f"it has {size}, and {tempfile.gettempdir()} has {_bytes(free_bytes)} free",
            fix="free disk space, set TMPDIR to a folder on another disk, or use a longer prefix",
        )
    role = "" if free_bytes is not None else "; their role must be allowed to (`data_buckets`)"
    return EncodedInput(
        value=encode_value(asset, listing),
        data=PlannedData(listing.size_bytes, mount_uri, must_mount),
        note=f"input {asset!r} is {prefix.uri} ({size}): {_USES[prefix.mode]}{role}",
    )


def _size(count: int, noun: str, size_bytes: int) -> str:
    return f"{counted(count, noun)}, {_bytes(size_bytes)}"


def _bytes(size: int) -> str:
    from flowyml_aws.report.wording import bytes_text  # imports a terminal package

    return bytes_text(size)
