"""Storing and loading of single values."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.codecs.selection import choose_codec, codec_id
from flowyml_aws.artifacts.compression import CompressedContent, compress_if_worthwhile
from flowyml_aws.artifacts.content import Content, Parts
from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.artifacts.fetching import fetch_value
from flowyml_aws.artifacts.folder_index import FolderIndex
from flowyml_aws.artifacts.folder_transfer import load_folder
from flowyml_aws.artifacts.layout import COPIES, artifact_key, artifact_pack_key
from flowyml_aws.artifacts.list_index import ListIndex
from flowyml_aws.artifacts.packs import SMALL_BYTES, make_pack
from flowyml_aws.artifacts.refs import (
    ArtifactRef,
    Compression,
    PackPlace,
    join_part_digests,
    value_identity,
)
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import DamagedArtifactError, FlowymlError, SettingsError
from flowyml_aws.core.maps import item_name

__all__ = ["EncodedValue", "encode_value", "load_value", "save_pack", "save_value"]


@dataclass(frozen=True, slots=True)
class EncodedValue:
    """The encoded value of an asset with its digest, before it is stored.

    Attributes:
        codec: Id of the codec that decodes the content.
    """

    asset: str
    codec: str
    content: Content | CompressedContent
    filename: str | None

    @property
    def sha256(self) -> str:
        """Digest in hex, which determines the key."""
        return self.content.sha256

    @property
    def identity(self) -> str:
        """`ArtifactRef.identity` of the ref that `save` returns, for any store."""
        return value_identity(self.sha256, self.codec, self.filename, self._compression)

    def save(self, store: ArtifactStore) -> ArtifactRef:
        """Store the value, unless it is stored already. Return its ref.

        If another content is stored under its key, and may not be deleted, it gets another key.

        Raises:
            UnstorableValueError: A file changed while it was being stored.
            DamagedArtifactError: There is other content under every key of the value.
        """
        try:
            key = _upload(store, self.content, partial(artifact_key, self.sha256))
        except UnstorableValueError as error:
            raise _unstorable(self.asset, error.why, error.fix) from error
        return self.ref(f"{store.uri}/{key}")

    @property
    def is_packed(self) -> bool:
        """True if the value is in a pack when others are stored with it.

        The object of a file is the file itself, which other programs read.
        """
        content, filename = self.content, self.filename
        return isinstance(content, Content) and content.size_bytes <= SMALL_BYTES and not filename

    def detached(self) -> EncodedValue:
        """Return the same with a copy of its bytes, which changes of the value do not reach.

        Raises:
            UnstorableValueError: The value or one of its files changed.
        """
        return replace(self, content=Content(self.read()))

    def read(self) -> bytes:
        """Return the encoded bytes.

        Raises:
            UnstorableValueError: The value or one of its files changed.
        """
        try:
            data = b"".join(self.content.chunks())
        except UnstorableValueError as error:
            raise _unstorable(self.asset, error.why, error.fix) from error
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise _unstorable(
                self.asset,
                "it changed while it was being stored",
                "return a value that no thread changes after the step has returned",
            )
        return data

    def ref(self, uri: str, pack: PackPlace | None = None) -> ArtifactRef:
        """Return the ref of the value in an object, or at a place in a pack."""
        return ArtifactRef(
            uri=uri,
            sha256=self.sha256,
            size_bytes=self.content.size_bytes,
            codec=self.codec,
            filename=self.filename,
            compression=self._compression,
            pack=pack,
            parts=join_part_digests(self.content.part_digests),
        )

    @property
    def _compression(self) -> Compression | None:
        return None if isinstance(self.content, Content) else self.content.compression


def encode_value(asset: str, value: Any) -> EncodedValue:
    """Encode a value without storing it.

    Raises:
        UnstorableValueError: The value cannot be stored.
    """
    try:
        codec = choose_codec(value)
        encoded = codec.encode(value)
        content = compress_if_worthwhile(encoded)
        _ = content.part_digests  # reads files, so that their errors are raised here
    except SettingsError:
        raise
    except FlowymlError as error:
        raise _unstorable(asset, error.why, error.fix) from error
    except BaseException as error:  # pickling runs code of the value's classes
        if not (isinstance(error, Exception) or type(error).__name__ == "PanicException"):
            raise  # a panic of Rust code, as in polars, is only a BaseException
        raise _unpicklable(asset, value, error) from error
    return EncodedValue(asset, encoded.codec or codec_id(codec), content, encoded.filename)


def save_value(store: ArtifactStore, asset: str, value: Any) -> ArtifactRef:
    """Store a value under the digest of its content. Return its ref.

    Content that is stored already is not sent again.

    Args:
        store: Target store.
        asset: Name of the asset, for error messages.
        value: Value to store. It must not change until it is stored.

    Raises:
        UnstorableValueError: The value cannot be stored.
    """
    return encode_value(asset, value).save(store)


def save_pack(store: ArtifactStore, values: Sequence[EncodedValue]) -> dict[str, ArtifactRef]:
    """Store values in one object, unless it is stored already. Return their refs by asset.

    Args:
        store: Target store.
        values: Values of which each is `is_packed`, of `PACK_BYTES` or a little more in total.

    Raises:
        UnstorableValueError: A value changed.
        DamagedArtifactError: There is other content under every key of the pack.
    """
    if len(values) == 1:
        return {values[0].asset: values[0].save(store)}
    pack = make_pack({value.sha256: value.read() for value in values}.items())
    key = _upload(store, pack.content, partial(artifact_pack_key, pack.sha256))
    size = pack.content.size_bytes
    places = {
        member.sha256: PackPlace(sha256=pack.sha256, size_bytes=size, offset=member.offset)
        for member in pack.members
    }
    uri = f"{store.uri}/{key}"
    return {value.asset: value.ref(uri, places[value.sha256]) for value in values}


def load_value(
    store: ArtifactStore, ref: ArtifactRef, asset: str, folder: Path, *, allow_pickle: bool = True
) -> Any:
    """Load the value of a ref. All bytes are verified before any is decoded.

    Args:
        store: Store that contains the value.
        ref: Ref from `save_value`.
        asset: Name of the asset, for error messages.
        folder: Folder for values that are files or folders; each gets its own subfolder. It is
            created for the first such value.
        allow_pickle: Whether decoding may run code from the store.

    Raises:
        PickleRefusedError: Decoding could run code, but must not. Nothing was read.
        ArtifactNotFoundError: The object does not exist.
        DamagedArtifactError: The bytes are not those of the ref.
        UnloadableValueError: The bytes are those of the ref, but the codec can't decode them.
        MissingExtraError: The codec, or a package that the value needs, is not installed.
    """
    value = fetch_value(store, ref, asset, folder, allow_pickle=allow_pickle).decode()
    if type(value) is FolderIndex:
        return load_folder(store, value, asset, folder)
    if type(value) is not ListIndex:
        return value
    return [
        load_value(
            store, item.ref, item_name(asset, item.position), folder, allow_pickle=allow_pickle
        )
        for item in value.items
        if item.ref is not None
    ]


def _upload(store: ArtifactStore, content: Parts, key_of: Callable[[int], str]) -> str:
    """Store a content, and return its key.

    If another content is stored under its key, and may not be deleted, it gets another key.

    Args:
        store: Target store.
        content: Content to store.
        key_of: Returns the key of each copy, whose number is below `COPIES`.
    """
    for copy in range(COPIES - 1):
        with suppress(DamagedArtifactError):
            store.upload(key_of(copy), content)
            return key_of(copy)
    store.upload(key_of(COPIES - 1), content)
    return key_of(COPIES - 1)


def _unstorable(asset: str, why: str, fix: str) -> UnstorableValueError:
    return UnstorableValueError(
        what=f"The value of asset {asset!r} can't be stored", why=why, fix=fix
    )


def _unpicklable(asset: str, value: Any, error: BaseException) -> UnstorableValueError:
    kind = type(value).__qualname__
    if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
        return _unstorable(
            asset,
            f"{kind}: its items are nested too deeply to be pickled ({error})",
            "return a flatter value (such as a list of records that refer to each other by their "
            "index), or write it to a file in a format without this limit and return its Path",
        )
    return _unstorable(
        asset,
        f"{kind}: {type(error).__name__}: {error}",
        "return plain data (numbers, lists, arrays, a Path to a file) instead of locks, "
        "connections, open files or other handles",
    )
