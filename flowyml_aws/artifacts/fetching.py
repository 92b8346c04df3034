"""Loading of single values: verified bytes first, then the value that they encode."""

from __future__ import annotations

import errno
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.codecs.codec import AnyCodec, FileCodec, TrustingCodec
from flowyml_aws.artifacts.codecs.plain import BytesCodec
from flowyml_aws.artifacts.codecs.selection import find_codec
from flowyml_aws.artifacts.errors import PickleRefusedError, UnpicklingFailedError
from flowyml_aws.artifacts.reading import ObjectReader, read_to_bytes, read_to_file, read_to_memory
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.core.errors import (
    ArtifactNotFoundError,
    DamagedArtifactError,
    FlowymlError,
    MissingExtraError,
    SettingsError,
    UnloadableValueError,
)
from flowyml_aws.scripts import MissingScriptError

__all__ = ["FetchedValue", "fetch_value", "may_run_code", "naming", "unloadable"]

# Packages whose name differs from their module's.
_PACKAGES = {"PIL": "pillow", "cv2": "opencv-python", "sklearn": "scikit-learn", "yaml": "pyyaml"}


def may_run_code(ref: ArtifactRef) -> bool:
    """Return whether loading a value can run code that its bytes contain: it is pickled.

    Raises:
        MissingExtraError: The codec is not installed.
    """
    return isinstance(find_codec(ref.codec), TrustingCodec)


@dataclass(frozen=True, slots=True)
class FetchedValue:
    """The verified bytes of a value, before they are decoded.

    Attributes:
        data: The bytes in memory, or the path of a temporary file that contains them.
        folder: Folder for values that are files or folders.
    """

    asset: str
    ref: ArtifactRef
    codec: AnyCodec
    data: memoryview | bytes | Path
    folder: Path

    def decode(self) -> Any:
        """Return the value. The bytes in memory or in the temporary file become part of it.

        Raises:
            UnloadableValueError: The codec can't decode the bytes.
            MissingExtraError: A package that the value needs is not installed.
        """
        try:
            if isinstance(self.codec, FileCodec):
                return self._decode_file(self.codec)
            if isinstance(self.data, bytes):
                return self.data
            assert isinstance(self.data, memoryview)
            return self.codec.decode(self.data)
        except MissingScriptError:
            raise
        except OSError as error:
            if isinstance(self.codec, FileCodec) and error.errno != errno.ENAMETOOLONG:
                raise _unwritable(self.ref, self.asset, error) from error
            raise unloadable(self.ref, self.asset, error) from error
        except UnpicklingFailedError as error:
            raise unloadable(self.ref, self.asset, error.cause, error.place) from error.cause
        except Exception as error:  # a codec can raise anything
            raise unloadable(self.ref, self.asset, error) from error

    def _decode_file(self, codec: FileCodec) -> Any:
        assert isinstance(self.data, Path)
        assert self.ref.filename is not None
        try:
            prefix = re.sub(r"\W", "_", self.asset)[:40] + "-"
            target_folder = Path(tempfile.mkdtemp(prefix=prefix, dir=self.folder))
            try:
                return codec.decode_file(self.data, target_folder / self.ref.filename)
            except BaseException:
                shutil.rmtree(target_folder)
                raise
        finally:
            self.data.unlink(missing_ok=True)


def fetch_value(
    store: ObjectReader, ref: ArtifactRef, asset: str, folder: Path, *, allow_pickle: bool = True
) -> FetchedValue:
    """Read the bytes of a ref, and verify all of them. Runs no code of the value.

    The arguments and the other errors are those of `values.load_value`.

    Raises:
        PickleRefusedError: Decoding could run code, but must not. Nothing was read.
        ArtifactNotFoundError: The object does not exist.
        DamagedArtifactError: The bytes are not those of the ref.
        MissingExtraError: The codec is not installed.
    """
    key = ref.key
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
    if isinstance(codec, FileCodec):
        _check_filename(ref, asset)
    with naming(store, ref, asset):
        try:
            data = _read(store, ref, asset, codec, folder)
        except FlowymlError:
            raise  # some are OSErrors, too
        except OSError as error:
            raise _unwritable(ref, asset, error) from error
    return FetchedValue(asset, ref, codec, data, folder)


@contextmanager
def naming(store: ObjectReader, ref: ArtifactRef, asset: str) -> Iterator[None]:
    """Name the asset, and its location, in the errors of a block that reads its object.

    Raises:
        ArtifactNotFoundError: The block raised it.
        DamagedArtifactError: The block raised it.
    """
    uri = f"{store.uri}/{ref.key}"
    try:
        yield
    except DamagedArtifactError as error:
        raise DamagedArtifactError(
            what=f"The value of asset {asset!r} is damaged: {uri}",
            why=f"expected {_size_and_digest(ref)}, found: {error.why}",
            fix=f"delete {uri}, then run the step that produces the asset again",
        ) from error
    except ArtifactNotFoundError as error:
        origin = "" if ref.uri == uri else f"; it was stored at {ref.uri}"
        raise ArtifactNotFoundError(
            what=f"The value of asset {asset!r} is missing",
            why=f"no object at {uri}, expected {_size_and_digest(ref)}{origin}",
            fix="run the step that produces the asset again",
        ) from error


def _check_filename(ref: ArtifactRef, asset: str) -> None:
    name = ref.filename
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise DamagedArtifactError(
            what=f"The ref of asset {asset!r} has an invalid file name",
            why=f"expected a plain file name, found {name!r}",
            fix="run the step that produces the asset again; nothing was written",
        )


def _read(
    store: ObjectReader, ref: ArtifactRef, asset: str, codec: AnyCodec, folder: Path
) -> memoryview | bytes | Path:
    try:
        if isinstance(codec, FileCodec):
            return _download(store, ref, folder)
        if isinstance(codec, BytesCodec):
            return read_to_bytes(store, ref)
        return read_to_memory(store, ref)
    except ImportError as error:  # reading shuffled numbers needs numpy
        raise unloadable(ref, asset, error) from error
    except MemoryError as error:
        raise FlowymlError(
            what=f"The value of asset {asset!r} does not fit into memory",
            why=f"it has {ref.value_bytes} bytes",
            fix="request more memory in the step's resources",
        ) from error


def _download(store: ObjectReader, ref: ArtifactRef, folder: Path) -> Path:
    # Other users must not read it: the folder may be in a folder that they share.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    downloaded = folder / f".{uuid.uuid4().hex}"
    try:
        read_to_file(store, ref, downloaded)
    except BaseException:
        downloaded.unlink(missing_ok=True)
        raise
    return downloaded


def _unwritable(ref: ArtifactRef, asset: str, error: OSError) -> SettingsError:
    return SettingsError(
        what=f"The value of asset {asset!r} can't be written to this machine: {ref.uri}",
        why=f"{error.filename}: {error.strerror}" if error.filename else str(error),
        fix="free disk space, or set TMPDIR to a folder on another disk",
    )


def _size_and_digest(ref: ArtifactRef) -> str:
    return f"{ref.size_bytes} bytes with SHA-256 {ref.sha256}"


def unloadable(
    ref: ArtifactRef, asset: str, error: Exception, place: str | None = None
) -> FlowymlError:
    """Return the error for a value whose bytes are intact, but can't be decoded.

    Args:
        ref: Reference to the value.
        asset: Name of the asset.
        error: Error of the codec.
        place: Class or function that failed.
    """
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
    return UnloadableValueError(
        what=what,
        why=f"its {_size_and_digest(ref)} are intact, but codec {ref.codec} can't decode them: "
        + (message if place is None else f"{place} failed with {message}"),
        fix="use the code and packages of the job that stored it, or run its step again"
        if place is None
        else f"check that {place} works in this process and is the same as in the job that stored "
        "the value, or run its step again",
    )
