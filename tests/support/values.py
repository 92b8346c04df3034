"""Small example values for every codec."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pandas
import polars
import pyarrow
import pytest
import xgboost
from sklearn.linear_model import LinearRegression

from flowyml_aws.artifacts.folder_index import FolderFile, FolderIndex
from flowyml_aws.artifacts.list_index import ListIndex
from flowyml_aws.artifacts.prefix_listing import PrefixListing

__all__ = ["VALUES", "Trap"]


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def _file(folder: Path, number: int) -> Path:
    path = folder / f"file{number}"
    path.write_bytes(b"\xff%d" % number * 500)
    return path


def _executable(folder: Path, number: int) -> Path:
    path = folder / f"program{number}"
    path.write_text(f"#!/bin/sh\nexit {number}\n")
    path.chmod(0o755)
    return path


def _directory(folder: Path, number: int) -> Path:
    path = folder / f"folder{number}"
    path.mkdir()
    (path / "weights").write_bytes(b"\xff%d" % number * 500)
    return path


def _frame(number: int) -> dict[str, list[Any]]:
    return {"text": ["a", "b"], "number": [number, 2]}


def _booster(number: int) -> xgboost.Booster:
    numbers = numpy.arange(40.0).reshape(20, 2) * number
    return xgboost.train({"max_depth": 1}, xgboost.DMatrix(numbers, numbers[:, 0]), 2)


def _estimator(folder: Path, number: int) -> LinearRegression:
    estimator = LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0 * number])
    estimator.note = Trap(folder / "sprung")
    return estimator


def _tensors(number: int) -> Any:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (up to 3 GB)")
    return {"weight": torch.full((3,), number)}


VALUES: dict[str, Callable[[Path, int], Any]] = {
    "json": lambda _, number: {"a": number},
    "items": lambda _, number: ListIndex(length=number, items=()),
    "folder": lambda _, number: FolderIndex(
        files=(FolderFile(path=f"file{number}", size_bytes=0, sha256="0" * 64),)
    ),
    "s3-prefix": lambda _, number: PrefixListing(uri=f"s3://bucket{number}/", objects=()),
    "text": lambda _, number: f"text {number}",
    "bytes": lambda _, number: b"\xff%d" % number * 500,
    "numpy": lambda _, number: numpy.arange(100) + number,
    "numpy-scalar": lambda _, number: numpy.float64(number),
    "file": _file,
    "executable": _executable,
    "directory": _directory,
    "arrow": lambda _, number: pyarrow.table(_frame(number)),
    "pandas": lambda _, number: pandas.DataFrame(_frame(number)),
    "polars": lambda _, number: polars.DataFrame(_frame(number)),
    "torch": lambda _, number: _tensors(number),
    "sklearn": _estimator,
    "xgboost": lambda _, number: _booster(number),
    "pickle": lambda folder, number: (number, Trap(folder / "sprung")),
    "pickle-with-files": lambda folder, number: (
        Trap(folder / "sprung"),
        _file(folder, 10 + number),
    ),
}
"""Codec name → function that makes a value from a folder for files and a number from 1.

Pickled values create a file `sprung` in that folder when they are unpickled.
"""
