"""External inputs of a run: encoded values, and folders that are read file by file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.folder_index import FolderIndex
from flowyml_aws.artifacts.folder_scan import ScannedFolder, scan_folder
from flowyml_aws.artifacts.values import EncodedValue, encode_value
from flowyml_aws.core.amounts import counted
from flowyml_aws.core.data_inputs import LocalData, contains_data, is_data
from flowyml_aws.core.errors import FlowymlError, InvalidDataError
from flowyml_aws.report.wording import bytes_text

__all__ = ["EncodedInputs", "data_problems", "encode_inputs", "folders_of", "key_types"]


@dataclass(frozen=True, slots=True)
class EncodedInputs:
    """The external inputs of a run.

    Attributes:
        values: Encoded values, by asset. Those of folders are indexes of their files.
        folders: Folders of this machine, by asset.
        data_bytes: Bytes that a job writes to its disk before it reads a folder, by asset.
        notes: Notes for the plan, with the sizes of the folders.
    """

    values: Mapping[str, EncodedValue]
    folders: Mapping[str, ScannedFolder] = field(default_factory=dict)
    data_bytes: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def encode_inputs(inputs: Mapping[str, Any], in_place: bool) -> EncodedInputs:
    """Encode the external inputs of a run. All files of their folders are read.

    Args:
        inputs: Values by asset.
        in_place: Whether jobs read folders of this machine without a copy.

    Raises:
        InvalidDataError: A folder does not exist, has no files, or has some that can't be read.
        ChangedFileError: A file changed while it was read.
        UnstorableValueError: A value can't be stored.
    """
    values: dict[str, EncodedValue] = {}
    folders: dict[str, ScannedFolder] = {}
    data_bytes: dict[str, int] = {}
    notes: list[str] = []
    for asset, value in inputs.items():
        if not isinstance(value, LocalData):
            values[asset] = encode_value(asset, value)
            continue
        folders[asset] = folder = scan_folder(value.path)
        index = folder.index()
        values[asset] = encode_value(asset, index)
        if not in_place:
            data_bytes[asset] = index.size_bytes
        notes.append(_note(asset, value, index, in_place))
    return EncodedInputs(values, folders, data_bytes, tuple(notes))


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


def _note(asset: str, data: LocalData, index: FolderIndex, in_place: bool) -> str:
    size = f"{counted(len(index.files), 'file')}, {bytes_text(index.size_bytes)}"
    use = (
        "jobs read the folder itself"
        if in_place
        else "files that are not in the store are uploaded, and each job that reads them downloads "
        "them"
    )
    return f"input {asset!r} is the folder {data.path} ({size}): {use}"
