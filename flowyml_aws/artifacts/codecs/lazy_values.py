"""Values that name files which are read later: they are read before they are stored, or refused.

A reducer is called only for values of its library, which is therefore imported.
"""

from __future__ import annotations

import sys
from typing import Any

from flowyml_aws.artifacts.errors import UnstorableValueError

__all__ = [
    "reduce_dask",
    "reduce_datasets",
    "reduce_fsspec",
    "reduce_xarray",
    "reduce_zarr",
    "unread",
]

_FOLDER_STORES = {"DirectoryStore", "FSStore", "N5Store", "NestedDirectoryStore", "ZipStore"}


def unread(value: Any, fix: str) -> UnstorableValueError:
    """Return the error for a value that names files and was not read.

    Args:
        value: The value.
        fix: Advice for the user.
    """
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    return UnstorableValueError(
        what=f"A value of {kind} can't be stored",
        why=f"{kind} names files and reads them later, when they may have changed or be on another "
        "machine",
        fix=fix,
    )


def reduce_xarray(value: Any) -> Any:
    """Reduce a lazily opened dataset, array or variable to one in memory."""
    xarray = sys.modules["xarray"]
    if isinstance(value, xarray.Variable):
        is_loaded = value._in_memory
    elif isinstance(value, xarray.Dataset):
        is_loaded = value._close is None and _all_in_memory(value.variables.values())
    elif isinstance(value, xarray.DataArray):
        variables = (value.variable, *(value.coords[name].variable for name in value.coords))
        is_loaded = value._close is None and _all_in_memory(variables)
    else:
        return NotImplemented
    return NotImplemented if is_loaded else value.compute().__reduce_ex__(5)


def _all_in_memory(variables: Any) -> bool:
    return all(variable._in_memory for variable in variables)


def reduce_datasets(value: Any) -> Any:
    """Reduce a dataset of Hugging Face over files to one in memory."""
    datasets = sys.modules["datasets"]
    if not hasattr(datasets, "IterableDataset"):
        return NotImplemented  # a module of the user with the same name
    if isinstance(value, datasets.IterableDataset):
        raise unread(value, "return a datasets.Dataset, or the Path of a folder with the data")
    if not isinstance(value, datasets.Dataset):
        return NotImplemented
    tables, features = sys.modules["datasets.table"], sys.modules["datasets.features.features"]
    # Images and sounds can be names of files.
    names_media = any(map(features.require_storage_embed, value.features.values()))
    if not value.cache_files and not names_media:
        return NotImplemented
    rows = value._data.table
    loaded = {
        "_data": tables.InMemoryTable(tables.embed_table_storage(rows) if names_media else rows)
    }
    if value._indices is not None:
        loaded["_indices"] = tables.InMemoryTable(value._indices.table)
    make, arguments, state = value.__reduce_ex__(5)[:3]
    return make, arguments, {**state, **loaded}


def reduce_dask(value: Any) -> Any:
    """Refuse collections, whose graphs can name files."""
    if hasattr(type(value), "__dask_graph__"):
        raise unread(value, "return its value (call compute()), or write it and return the Path")
    return NotImplemented


def reduce_fsspec(value: Any) -> Any:
    """Refuse files of this machine that are opened later."""
    core = sys.modules.get("fsspec.core")
    if core is not None and isinstance(value, core.OpenFile) and "file" in value.fs.protocol:
        raise unread(value, "return the Path of the file")
    return NotImplemented


def reduce_zarr(value: Any) -> Any:
    """Refuse stores in folders whose paths are strings. Those with a `Path` carry their files."""
    if type(value).__name__ in _FOLDER_STORES:
        raise unread(value, "return the Path of the folder")
    return NotImplemented
