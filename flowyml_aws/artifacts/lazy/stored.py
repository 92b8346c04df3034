"""Pieces of stored values, by their codec."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from flowyml_aws.artifacts.codecs.arrays import NumpyCodec
from flowyml_aws.artifacts.codecs.arrow import ArrowCodec
from flowyml_aws.artifacts.codecs.pandas_frames import PandasCodec
from flowyml_aws.artifacts.codecs.plain import BytesCodec
from flowyml_aws.artifacts.codecs.polars_frames import PolarsCodec
from flowyml_aws.artifacts.codecs.selection import find_codec
from flowyml_aws.artifacts.fetching import naming, unloadable
from flowyml_aws.artifacts.lazy.arrays import StoredArray
from flowyml_aws.artifacts.lazy.lists import StoredBytes
from flowyml_aws.artifacts.lazy.pieces import LazyAccessError, Pieces
from flowyml_aws.artifacts.lazy.tables import StoredFrame, StoredTable
from flowyml_aws.artifacts.reading import ObjectReader
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.verified_bytes import VerifiedBytes
from flowyml_aws.core.errors import FlowymlError

__all__ = ["stored_pieces"]


def stored_pieces(store: ObjectReader, ref: ArtifactRef, asset: str) -> Pieces | None:
    """Return the pieces of a stored value; None if its codec allows no pieces.

    Args:
        store: Store that contains the value.
        ref: Reference to the value.
        asset: Name of the asset, for error messages.

    Raises:
        MissingExtraError: The codec is not installed.
    """
    codec = find_codec(ref.codec)
    pieces: Pieces
    if isinstance(codec, NumpyCodec):
        pieces = StoredArray(VerifiedBytes(store, ref))
    elif isinstance(codec, ArrowCodec | PolarsCodec):
        pieces = StoredTable(VerifiedBytes(store, ref, kept_blocks=None), codec)
    elif isinstance(codec, PandasCodec):
        pieces = StoredFrame(VerifiedBytes(store, ref, kept_blocks=None), codec)
    elif isinstance(codec, BytesCodec):
        pieces = StoredBytes(VerifiedBytes(store, ref))
    else:
        return None
    return _Reported(pieces, store, ref, asset)


class _Reported:
    """Pieces whose errors name the asset.

    Raises:
        ArtifactNotFoundError: The object does not exist.
        DamagedArtifactError: The bytes are not those of the ref.
        UnloadableValueError: The bytes are those of the ref, but can't be decoded.
        MissingExtraError: A package that the value needs is not installed.
    """

    def __init__(self, pieces: Pieces, store: ObjectReader, ref: ArtifactRef, asset: str) -> None:
        self._pieces, self._store, self._ref, self._asset = pieces, store, ref, asset

    def length(self) -> int:
        with self._reporting():
            return self._pieces.length()

    def get(self, key: Any) -> Any:
        with self._reporting():
            return self._pieces.get(key)

    def columns(self, labels: Sequence[Any]) -> Any:
        with self._reporting():
            return self._pieces.columns(labels)

    def fact(self, name: str) -> Any:
        with self._reporting():
            return self._pieces.fact(name)

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        with naming(self._store, self._ref, self._asset):
            try:
                yield
            except FlowymlError:
                raise
            except MemoryError as error:
                raise LazyAccessError(
                    what=f"A piece of asset {self._asset!r} does not fit into memory",
                    why=f"the whole value has {self._ref.value_bytes} bytes",
                    fix="read fewer rows or columns at once, or request more memory",
                ) from error
            except (ValueError, ImportError) as error:
                raise unloadable(self._ref, self._asset, error) from error
