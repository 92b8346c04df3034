"""Selection of the codec that encodes or decodes a value."""

from __future__ import annotations

import io
import sys
from functools import cache
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

from flowyml_aws.artifacts.codecs.arrays import NumpyCodec, NumpyScalarCodec
from flowyml_aws.artifacts.codecs.arrow import ArrowCodec
from flowyml_aws.artifacts.codecs.codec import AnyCodec
from flowyml_aws.artifacts.codecs.files import DirectoryCodec, ExecutableCodec, PathCodec
from flowyml_aws.artifacts.codecs.indexes import (
    FolderIndexCodec,
    ListIndexCodec,
    PrefixListingCodec,
)
from flowyml_aws.artifacts.codecs.models import SklearnCodec, XgboostCodec
from flowyml_aws.artifacts.codecs.pandas_frames import PandasCodec
from flowyml_aws.artifacts.codecs.pickles import PickleCodec, PickleWithFilesCodec
from flowyml_aws.artifacts.codecs.plain import BytesCodec, JsonCodec, TextCodec
from flowyml_aws.artifacts.codecs.polars_frames import PolarsCodec
from flowyml_aws.artifacts.codecs.tensors import TorchCodec
from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.artifacts.folder_index import FolderIndex
from flowyml_aws.artifacts.list_index import ListIndex
from flowyml_aws.artifacts.prefix_listing import PrefixListing
from flowyml_aws.core.data_inputs import is_data
from flowyml_aws.core.errors import MissingExtraError, SettingsError

__all__ = ["ENTRY_POINTS", "choose_codec", "codec_id", "find_codec", "third_party_codecs"]

ENTRY_POINTS = "flowyml_aws.codecs"
"""Entry point group. Each entry is a codec, or a class that creates one without arguments."""

# Safe codecs first; the last one accepts every value.
_BUILT_IN: tuple[AnyCodec, ...] = (
    BytesCodec(),
    TextCodec(),
    ListIndexCodec(),
    FolderIndexCodec(),
    PrefixListingCodec(),
    JsonCodec(),
    NumpyCodec(),
    NumpyScalarCodec(),
    PathCodec(),
    ExecutableCodec(),
    DirectoryCodec(),
    ArrowCodec(),
    PandasCodec(),
    PolarsCodec(),
    TorchCodec(),
    XgboostCodec(),
    SklearnCodec(),
    PickleWithFilesCodec(),
    PickleCodec(),
)
_BY_ID = {f"{codec.name}/{codec.version}": codec for codec in _BUILT_IN}
# Always encoded by built-in codecs: a search for third-party codecs would cost more than storing.
_SIMPLE = frozenset(
    {type(None), bool, int, float, str, bytes, ListIndex, FolderIndex, PrefixListing}
)


def codec_id(codec: AnyCodec) -> str:
    """Return the codec's id in refs, `<name>/<version>`."""
    return f"{codec.name}/{codec.version}"


def choose_codec(value: Any) -> AnyCodec:
    """Return the first codec that accepts a value: third-party codecs, safe codecs, pickle.

    Raises:
        UnstorableValueError: The value can be read only once, or only by this process.
        SettingsError: A third-party codec can't be loaded.
    """
    if type(value) not in _SIMPLE:
        for codec in third_party_codecs():
            if codec.accepts(value):
                return codec
        _refuse_process_bound(value)
    return next(codec for codec in _BUILT_IN if codec.accepts(value))


def find_codec(identifier: str) -> AnyCodec:
    """Return the codec with an id.

    Raises:
        MissingExtraError: No installed codec has this name and version.
        SettingsError: A third-party codec can't be loaded.
    """
    if identifier in _BY_ID:
        return _BY_ID[identifier]
    others = {codec_id(codec): codec for codec in third_party_codecs()}
    if identifier in others:
        return others[identifier]
    name = identifier.partition("/")[0]
    known_ids = [known for known in (*_BY_ID, *others) if known.partition("/")[0] == name]
    if known_ids:
        raise MissingExtraError(
            what=f"Unknown codec version {identifier!r}",
            why=f"installed here: {', '.join(known_ids)}",
            fix="install the version of flowyml-aws, or of the codec's package, that stored it",
        )
    raise MissingExtraError(
        what=f"Unknown codec {identifier!r}",
        why=f"no installed package has a codec {name!r} in its entry points {ENTRY_POINTS!r}",
        fix=f"install the package with the codec {name!r} here and in the image",
    )


@cache
def third_party_codecs() -> tuple[AnyCodec, ...]:
    """Return the codecs of installed packages, in order of their entry points. Cached.

    Raises:
        SettingsError: A codec can't be loaded, or has the id of another one.
    """
    from importlib.metadata import entry_points  # not needed by jobs that store only scalars

    codecs: dict[str, AnyCodec] = {}
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        package = entry.dist.name if entry.dist else "a package"
        try:
            loaded = entry.load()
            codec: AnyCodec = loaded() if isinstance(loaded, type) else loaded
            identifier = codec_id(codec)
        except Exception as error:  # importing a package can raise anything
            raise SettingsError(
                what=f"The codec {entry.name!r} of {package} can't be loaded",
                why=f"{entry.value}: {type(error).__name__}: {error}",
                fix=f"install another version of {package}, or uninstall it",
            ) from error
        if identifier in _BY_ID or identifier in codecs:
            raise SettingsError(
                what=f"Duplicate codec {identifier!r} in {package}",
                why=f"its entry point {entry.name!r} has the id of another codec",
                fix=f"uninstall {package}, or the package of the other codec",
            )
        codecs[identifier] = codec
    return tuple(codecs.values())


def _refuse_process_bound(value: Any) -> None:
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, io.IOBase):
        if type(value) in (io.BytesIO, io.StringIO):
            return
        why = f"{kind} is an open file of this process"
        fix = "close it and return its Path, or return what it contains"
    elif isinstance(value, CoroutineType | AsyncGeneratorType):
        why, fix = f"{kind} has not run yet", "await it inside the step"
    elif isinstance(value, GeneratorType) or _is_standard_iterator(value):
        why = f"{kind} can be read only once, and only by this process"
        fix = "return a list of its items, or write them to a file and return its Path"
    elif is_data(value):
        why = "it names a folder, and only external inputs can be such a name"
        fix = "return the Path of the folder, or pass it as an input of the run: inputs={…}"
    elif type(value) is type(Path()) and not (value.is_file() or value.is_dir()):
        why = f"there is no file or folder at {value}"
        fix = "write the file before the step returns, or return str(path) to pass only its name"
    else:
        return
    raise UnstorableValueError(what=f"A value of {kind} can't be stored", why=why, fix=fix)


def _is_standard_iterator(value: Any) -> bool:
    # Iterators of users' classes may be values; only those of the standard library are refused.
    return hasattr(value, "__next__") and type(value).__module__ in sys.stdlib_module_names
