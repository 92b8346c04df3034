"""Folders as external inputs: of this machine, or below a prefix of S3.

A step gets the path of a folder instead of the declaration, which is passed only as an input of a
run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from flowyml_aws.core.errors import InvalidDataError

__all__ = ["DataInput", "LocalData", "PrefixMode", "S3Prefix", "contains_data", "is_data"]

PrefixMode = Literal["download", "mount", "auto"]

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class LocalData:
    """A folder of this machine as an external input. The step gets its `Path`.

    The files are uploaded once, by content, and downloaded by the jobs that read them. A job on
    this machine reads the folder itself. The folder is not part of the code bundle.

    Args:
        path: The folder, relative to the working directory.

    Raises:
        InvalidDataError: The path is not a path.
    """

    path: Path

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise InvalidDataError(
                what=f"Invalid LocalData({path!r})",
                why="it must be the path of a folder",
                fix='write for example LocalData("data/")',
            )
        object.__setattr__(self, "path", Path(path))


@dataclass(frozen=True, slots=True)
class S3Prefix:
    """The objects below a prefix of S3 as an external input. The step gets the `Path` of a folder.

    Nothing is copied: the objects are listed when the run is planned, and each job reads those of
    the listing. A job fails if one of them has changed.

    Args:
        uri: `s3://BUCKET/PREFIX`. A slash at its end may be omitted.
        mode: `download` to download all objects before the step starts; `mount` to read them
            while the step reads the files, which only SageMaker can do (FastFile mode); `auto` to
            mount them if the service can, and download them otherwise.

    Raises:
        InvalidDataError: The URI or the mode is invalid.
    """

    uri: str
    mode: PrefixMode

    def __init__(self, uri: str, mode: PrefixMode = "download") -> None:
        scheme, _, rest = str(uri).partition("://")
        bucket, _, prefix = rest.partition("/")
        if scheme != "s3" or not _BUCKET.fullmatch(bucket):
            raise InvalidDataError(
                what=f"Invalid S3Prefix({uri!r})",
                why="it must be s3://BUCKET or s3://BUCKET/PREFIX",
                fix='write for example S3Prefix("s3://bucket/data/")',
            )
        if mode not in get_args(PrefixMode):
            raise InvalidDataError(
                what=f"Invalid mode of S3Prefix: {mode!r}",
                why=f"the modes are {', '.join(get_args(PrefixMode))}",
                fix="write one of them, or omit it to download the objects",
            )
        prefix = prefix.rstrip("/")
        object.__setattr__(self, "uri", f"s3://{bucket}/{prefix}/" if prefix else f"s3://{bucket}/")
        object.__setattr__(self, "mode", mode)

    @property
    def bucket(self) -> str:
        """Name of the bucket."""
        return self.uri.removeprefix("s3://").partition("/")[0]

    @property
    def prefix(self) -> str:
        """Start of the keys of the objects; empty, or with a slash at its end."""
        return self.uri.removeprefix("s3://").partition("/")[2]


DataInput = (LocalData, S3Prefix)
"""Classes of these inputs."""


def is_data(value: Any) -> bool:
    """Return whether a value is a folder as an external input."""
    return isinstance(value, DataInput)


def contains_data(value: Any) -> bool:
    """Return whether a value is such an input, or a list, tuple or dict that contains one."""
    return is_data(value) or any(is_data(part) for part in _parts(value))


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        yield from value
    elif isinstance(value, Mapping):
        yield from value.values()
