"""Values of assets into a store and out of it."""

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
from flowyml_aws.artifacts.compression import CompressedContent, compress_if_it_pays
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

__all__ = ["EncodedValue", "encode_value", "load_value", "save_value"]

# Where a package is not called like its module.
_PACKAGES = {"PIL": "pillow", "cv2": "opencv-python", "sklearn": "scikit-learn", "yaml": "pyyaml"}


@dataclass(frozen=True, slots=True)
class EncodedValue:
    """A value of an asset as bytes with their digest, stored nowhere yet."""

    asset: str
    codec: AnyCodec
    content: Content | CompressedContent
    filename: str | None

    @property
    def sha256(self) -> str:
        """The digest under which it will lie, in hex."""
        return self.content.sha256

    @property
    def identity(self) -> str:
        """`ArtifactRef.identity` of what `save` returns, wherever it is stored."""
        return self._ref("").identity

    def save(self, store: ArtifactStore) -> ArtifactRef:
        """Store it, unless it lies there.

        Raises:
            UnstorableValueError: A file changed meanwhile.
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
    """A value as what would be stored.

    Raises:
        UnstorableValueError: The value would not come back the same.
    """
    try:
        codec = choose_codec(value)
        encoded = codec.encode(value)
        content = compress_if_it_pays(encoded)
        _ = content.part_digests  # reads files: what is wrong with them shows here
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
    """Store a value under its content's digest; content that lies there is not sent again.

    Args:
        store: Where to.
        asset: For errors.
        value: Must not change meanwhile.

    Raises:
        UnstorableValueError: The value would not come back the same.
    """
    return encode_value(asset, value).save(store)


def load_value(
    store: ArtifactStore, ref: ArtifactRef, asset: str, folder: Path, *, allow_pickle: bool = True
) -> Any:
    """The value of a ref. Nothing is decoded before all of its bytes are verified.

    Args:
        store: Where it lies.
        ref: What `save_value` returned.
        asset: For errors.
        folder: Files and folders that are values are put below it, each in a folder of its own.
        allow_pickle: Whether reading may run code from the store.

    Raises:
        PickleRefusedError: It would have to run code and may not; nothing was read.
        ArtifactNotFoundError: Nothing lies there.
        DamagedArtifactError: The bytes are not those of the ref, or not of its codec.
        MissingExtraError: The codec, or a package that the value needs, is not installed.
    """
    key = artifact_key(ref.sha256)
    if not ref.uri.endswith(f"/{key}"):
        raise DamagedArtifactError(
            what=f"The ref of asset {asset!r} contradicts itself",
            why=f"expected a URI ending in {key}, found {ref.uri}",
            fix="run the step that produces the asset again; nothing was read",
        )
    try:
        codec = find_codec(ref.codec)
    except MissingExtraError as error:
        raise MissingExtraError(
            what=f"The value of asset {asset!r} can't be read here: {ref.uri}",
            why=f"{error.what}: {error.why}",
            fix=error.fix,
        ) from error
    if not allow_pickle and isinstance(codec, TrustingCodec):
        raise PickleRefusedError(
            what=f"The value of asset {asset!r} was not read",
            why=f"it is stored as {ref.codec}, {codec.trusts}, and allow_pickle is off",
            fix="allow it (the setting or argument allow_pickle, no --no-pickle) if you trust "
            f"whoever writes to {store.uri}, or let the step return what needs no pickle: a table, "
            "an array, a Path",
        )
    try:
        if isinstance(codec, FileCodec):
            return _load_file(store, ref, asset, folder, codec)
        return _load(store, ref, asset, codec)
    except ArtifactNotFoundError as error:
        uri = f"{store.uri}/{key}"
        elsewhere = "" if ref.uri == uri else f"; it was stored as {ref.uri}"
        raise ArtifactNotFoundError(
            what=f"The value of asset {asset!r} is missing",
            why=f"expected {_facts(ref)} at {uri}, found nothing{elsewhere}",
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
    except ImportError as error:  # shuffled numbers need numpy
        raise _undecodable(ref, asset, error) from error
    except MemoryError as error:
        raise FlowymlError(
            what=f"The value of asset {asset!r} does not fit into memory",
            why=f"it has {ref.value_bytes} bytes",
            fix="give the step's resources more memory",
        ) from error
    try:
        return codec.decode(data)
    except Exception as error:  # unpickling runs code of the value's classes
        raise _undecodable(ref, asset, error) from error


def _load_file(
    store: ArtifactStore, ref: ArtifactRef, asset: str, folder: Path, codec: FileCodec
) -> Any:
    name = ref.filename
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise DamagedArtifactError(
            what=f"The ref of asset {asset!r} names no file",
            why=f"expected a plain file name, found {name!r}",
            fix="run the step that produces the asset again; nothing was written",
        )
    folder.mkdir(parents=True, exist_ok=True)
    landed = folder / f".{uuid.uuid4().hex}"
    try:
        read_to_file(store, ref, landed)
        place = Path(tempfile.mkdtemp(prefix=re.sub(r"\W", "_", asset)[:40] + "-", dir=folder))
        try:
            return codec.decode_file(landed, place / name)
        except BaseException:
            shutil.rmtree(place)
            raise
    except DamagedArtifactError as error:
        raise _damaged(store, ref, asset, error) from error
    except OSError:
        raise  # of this machine's disk, not of the value
    except Exception as error:  # a third party's codec can raise anything
        raise _undecodable(ref, asset, error) from error
    finally:
        landed.unlink(missing_ok=True)


def _facts(ref: ArtifactRef) -> str:
    return f"{ref.size_bytes} bytes with SHA-256 {ref.sha256}"


def _damaged(
    store: ArtifactStore, ref: ArtifactRef, asset: str, error: DamagedArtifactError
) -> DamagedArtifactError:
    uri = f"{store.uri}/{artifact_key(ref.sha256)}"
    return DamagedArtifactError(
        what=f"The value of asset {asset!r} is damaged: {uri}",
        why=f"expected {_facts(ref)}, found: {error.why}",
        fix=f"remove {uri}, then run the step that produces the asset again",
    )


def _undecodable(ref: ArtifactRef, asset: str, error: Exception) -> FlowymlError:
    what = f"The value of asset {asset!r} can't be read here"
    if isinstance(error, MissingExtraError):
        return MissingExtraError(what, error.why, error.fix)
    told = f"{type(error).__name__}: {error}"
    if isinstance(error, ImportError):
        module = (error.name or "it").partition(".")[0]
        package = _PACKAGES.get(module, module)
        return MissingExtraError(
            what=what,
            why=f"{ref.codec} at {ref.uri} needs a module that is not there: {told}",
            fix=f"install {package} here, in the version of the job that stored it",
        )
    return DamagedArtifactError(
        what=f"The value of asset {asset!r} can't be read: {ref.uri}",
        why=f"its {_facts(ref)} are there, but codec {ref.codec} fails on them: {told}",
        fix="use the code and packages of the job that stored it, or run its step again",
    )
