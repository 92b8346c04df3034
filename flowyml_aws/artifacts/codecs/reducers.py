"""Reducers of pickles, for values that would not be the same value in another process.

The classes of a library need no reducer before the library is imported, so none is imported here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from flowyml_aws.artifacts.codecs.lazy_values import (
    reduce_dask,
    reduce_datasets,
    reduce_fsspec,
    reduce_xarray,
    reduce_zarr,
)
from flowyml_aws.artifacts.codecs.table_reducers import reduce_polars, reduce_pyarrow

__all__ = ["reduce_for_storage"]


def reduce_for_storage(value: Any) -> Any:
    """Return what pickle stores for a value, or NotImplemented for its default.

    Raises:
        UnstorableValueError: The value cannot be the same value in another process.
    """
    kind = type(value)
    if kind not in _reducers:
        roots = (base.__module__.partition(".")[0] for base in kind.__mro__)
        _reducers[kind] = next((_BY_LIBRARY[root] for root in roots if root in _BY_LIBRARY), None)
    reducer = _reducers[kind]
    return NotImplemented if reducer is None else reducer(value)


def _reduce_pydantic(value: Any) -> Any:
    """Reduce a parametrized model such as `Box[int]` to its model and arguments.

    Pydantic makes one class per model and arguments, which no module contains by name.
    """
    metadata = getattr(value, "__pydantic_generic_metadata__", None)
    if not isinstance(value, type) or not metadata or metadata["origin"] is None:
        return NotImplemented
    return operator.getitem, (metadata["origin"], metadata["args"])


_BY_LIBRARY: dict[str, Callable[[Any], Any]] = {
    "dask": reduce_dask,
    "dask_expr": reduce_dask,
    "datasets": reduce_datasets,
    "fsspec": reduce_fsspec,
    "polars": reduce_polars,
    "pyarrow": reduce_pyarrow,
    "pydantic": _reduce_pydantic,
    "xarray": reduce_xarray,
    "zarr": reduce_zarr,
}
_reducers: WeakKeyDictionary[type, Callable[[Any], Any] | None] = WeakKeyDictionary()
