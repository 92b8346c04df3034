"""Reducers of pickles, for values that would not be the same value in another process.

The classes of a library need no reducer before the library is imported, so none is imported here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from flowyml_aws.artifacts.codecs.lazy_values import (
    reduce_dask,
    reduce_datasets,
    reduce_fsspec,
    reduce_xarray,
    reduce_zarr,
)
from flowyml_aws.artifacts.codecs.table_reducers import reduce_polars, reduce_pyarrow

__all__ = ["reduce_parametrized_model", "reducer_of"]


def reducer_of(kind: type) -> Callable[[Any], Any] | None:
    """Return the reducer of a class's values, or None for that of pickle.

    A reducer returns what pickle stores for a value, or NotImplemented for pickle's own way. It
    raises `UnstorableValueError` if the value cannot be the same value in another process.
    """
    libraries = (base.__module__.partition(".")[0] for base in kind.__mro__)
    return next((_BY_LIBRARY[name] for name in libraries if name in _BY_LIBRARY), None)


def reduce_parametrized_model(cls: Any) -> Any:
    """Reduce a class such as pydantic's `Box[int]` to its model and arguments.

    Pydantic makes one class per model and arguments, which no module contains by name. Returns
    NotImplemented for all other classes.
    """
    metadata = getattr(cls, "__pydantic_generic_metadata__", None)
    if not metadata or metadata["origin"] is None:
        return NotImplemented
    return operator.getitem, (metadata["origin"], metadata["args"])


_BY_LIBRARY: dict[str, Callable[[Any], Any]] = {
    "dask": reduce_dask,
    "dask_expr": reduce_dask,
    "datasets": reduce_datasets,
    "fsspec": reduce_fsspec,
    "polars": reduce_polars,
    "pyarrow": reduce_pyarrow,
    "xarray": reduce_xarray,
    "zarr": reduce_zarr,
}
