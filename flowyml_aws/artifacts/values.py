"""Storing and loading of single values."""

from __future__ import annotations

import re
import shutil
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.codecs.codec import AnyCodec, Codec, FileCodec, TrustingCodec
from flowyml_aws.artifacts.codecs.plain import BytesCodec
from flowyml_aws.artifacts.codecs.selection import choose_codec, codec_id, find_codec
from flowyml_aws.artifacts.compression import CompressedContent, compress_if_worthwhile
from flowyml_aws.artifacts.content import Content
from flowyml_aws.artifacts.errors import PickleRefusedError, UnstorableValueError
from flowyml_aws.artifacts.layout import artifact_key
from flowyml_aws.artifacts.reading import read_to_bytes, read_to_file, read_to_memory
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import (
    ArtifactNotFoundError,
    DamagedArtifactError,
    FlowymlError,
    MissingExtraError,
    SettingsError,
)
from flowyml_aws.scripts import MissingScriptError

__all__ = ["EncodedValue", "encode_value", "load_value", "save_value"]

# Packages whose name differs from their module's.
_PACKAGES = {"PIL": "pillow", "cv2": "opencv-python", "sklearn": "scikit-learn", "yaml": "pyyaml"}


@dataclass(frozen=True, slots=True)
class EncodedValue:
    """The encoded value of an asset with its digest, before it is stored."""

    asset: str
    codec: AnyCodec
    content: Content | CompressedContent
    filename: str | None

    @property
    def sha256(self) -> str:
        """Digest in hex, which determines the key."""
        return self.content.sha256

    @property
    def identity(self) -> str:
        """`ArtifactRef.identity` of the ref that `save` returns, for any store."""
        return self._ref("").identity

    def save(self, store: ArtifactStore) -> ArtifactRef:
        """Store the value, unless it is stored already. Return its ref.

        Raises:
            UnstorableValueError: A file changed while it was being stored.
        """
        key = artifact_key(self.sha256)
        try:
            store.upload(key, self.content)
        except UnstorableValueError as error:
            raise _unstorable(self.asset, error.why, error.fix) from error
        return self._ref(f"{store.uri}/{key}")

    def _ref(self, uri: str) -> ArtifactRef:
        content = self.content
        return ArtifactRef(
            uri=uri,
            sha256=self.sha256,
            size_bytes=content.size_bytes,
            codec=codec_id(self.codec),
            filename=self.filename,
            compression=None if isinstance(content, Content) else content.compression,
        )


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
    except Exception as error:  # pickling runs code of the value's classes: it can raise anything
        raise _unstorable(
            asset,
            f"{type(value).__qualname__}: {type(error).__name__}: {error}",
            "return plain data (numbers, lists, arrays, a Path to a file) instead of locks, "
            "connections, open files or other handles",
        ) from error
    return EncodedValue(asset, codec, content, encoded.filename)


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


def load_value(
    store: ArtifactStore, ref: ArtifactRef, asset: str, folder: Path, *, allow_pickle: bool = True
) -> Any:
    """Load the value of a ref. All bytes are verified before any is decoded.

    Args:
        store: Store that contains the value.
        ref: Ref from `save_value`.
        asset: Name of the asset, for error messages.
        folder: Folder for values that are files or folders; each gets its own subfolder.
        allow_pickle: Whether decoding may run code from the store.

    Raises:
        PickleRefusedError: Decoding could run code, but must not. Nothing was read.
        ArtifactNotFoundError: The object does not exist.
        DamagedArtifactError: The bytes are not those of the ref, or the codec can't decode them.
        MissingExtraError: The codec, or a package that the value needs, is not installed.
    """
    key = artifact_key(ref.sha256)
    if not ref.uri.endswith(f"/{key}"):
        raise DamagedArtifactError(
            what=f"The ref of asset {asset!r} is inconsistent",
            why=f"expected a URI ending in {key}, found {ref.uri}",
            fix="run the step that produces the asset again; nothing was read",
        )
    try:
        codec = find_codec(ref.codec)
    except MissingExtraError as error:
        raise MissingExtraError(
            what=f"The value of asset {asset!r} can't be read: {ref.uri}",
            why=f"{error.what}: {error.why}",
            fix=error.fix,
        ) from error
    if not allow_pickle and isinstance(codec, TrustingCodec):
        raise PickleRefusedError(
            what=f"The value of asset {asset!r} was not read",
            why=f"it is stored as {ref.codec}, {codec.trusts}, and allow_pickle is off",
            fix="set allow_pickle (setting or argument; omit --no-pickle) if you trust everyone "
            f"who can write to {store.uri}, or let the step return a value that needs no pickle: "
            "a data frame, an array, a Path",
        )
    try:
        if isinstance(codec, FileCodec):
            return _load_file(store, ref, asset, folder, codec)
        return _load(store, ref, asset, codec)
    except ArtifactNotFoundError as error:
        uri = f"{store.uri}/{key}"
        origin = "" if ref.uri == uri else f"; it was stored at {ref.uri}"
        raise ArtifactNotFoundError(
            what=f"The value of asset {asset!r} is missing",
            why=f"no object at {uri}, expected {_size_and_digest(ref)}{origin}",
            fix="run the step that produces the asset again",
        ) from error


def _unstorable(asset: str, why: str, fix: str) -> UnstorableValueError:
    return UnstorableValueError(
        what=f"The value of asset {asset!r} can't be stored", why=why, fix=fix
    )


def _load(store: ArtifactStore, ref: ArtifactRef, asset: str, codec: Codec) -> Any:
    try:
        if isinstance(codec, BytesCodec):
            return read_to_bytes(store, ref)
        data = read_to_memory(store, ref)
    except DamagedArtifactError as error:
        raise _damaged(store, ref, asset, error) from error
    except ImportError as error:  # reading shuffled numbers needs numpy
        raise _undecodable(ref, asset, error) from error
    except MemoryError as error:
        raise FlowymlError(
            what=f"The value of asset {asset!r} does not fit into memory",
            why=f"it has {ref.value_bytes} bytes",
            fix="request more memory in the step's resources",
        ) from error
    try:
        return codec.decode(data)
    except MissingScriptError:
        raise
    except Exception as error:  # unpickling runs code of the value's classes
        raise _undecodable(ref, asset, error) from error


def _load_file(
    store: ArtifactStore, ref: ArtifactRef, asset: str, folder: Path, codec: FileCodec
) -> Any:
    name = ref.filename
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise DamagedArtifactError(
            what=f"The ref of asset {asset!r} has an invalid file name",
            why=f"expected a plain file name, found {name!r}",
            fix="run the step that produces the asset again; nothing was written",
        )
    folder.mkdir(parents=True, exist_ok=True)
    downloaded = folder / f".{uuid.uuid4().hex}"
    try:
        read_to_file(store, ref, downloaded)
        target_folder = Path(
            tempfile.mkdtemp(prefix=re.sub(r"\W", "_", asset)[:40] + "-", dir=folder)
        )
        try:
            return codec.decode_file(downloaded, target_folder / name)
        except BaseException:
            shutil.rmtree(target_folder)
            raise
    except DamagedArtifactError as error:
        raise _damaged(store, ref, asset, error) from error
    except OSError:
        raise  # an error of the local disk, not of the value
    except Exception as error:  # a third-party codec can raise anything
        raise _undecodable(ref, asset, error) from error
    finally:
        downloaded.unlink(missing_ok=True)


def _size_and_digest(ref: ArtifactRef) -> str:
    return f"{ref.size_bytes} bytes with SHA-256 {ref.sha256}"


def _damaged(
    store: ArtifactStore, ref: ArtifactRef, asset: str, error: DamagedArtifactError
) -> DamagedArtifactError:
    uri = f"{store.uri}/{artifact_key(ref.sha256)}"
    return DamagedArtifactError(
        what=f"The value of asset {asset!r} is damaged: {uri}",
        why=f"expected {_size_and_digest(ref)}, found: {error.why}",
        fix=f"delete {uri}, then run the step that produces the asset again",
    )


def _undecodable(ref: ArtifactRef, asset: str, error: Exception) -> FlowymlError:
    what = f"The value of asset {asset!r} can't be read: {ref.uri}"
    if isinstance(error, MissingExtraError):
        return MissingExtraError(what, error.why, error.fix)
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, ImportError):
        module = (error.name or "it").partition(".")[0]
        package = _PACKAGES.get(module, module)
        return MissingExtraError(
            what=what,
            why=f"codec {ref.codec} needs a module that is not installed here: {message}",
            fix=f"install {package}, in the version of the job that stored the value",
        )
    return DamagedArtifactError(
        what=what,
        why=f"its {_size_and_digest(ref)} are intact, but codec {ref.codec} can't decode them: "
        f"{message}",
        fix="use the code and packages of the job that stored it, or run its step again",
    )
