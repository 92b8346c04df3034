"""Unpacking of a source bundle."""

from __future__ import annotations

import errno
import io
import shutil
import tarfile
from pathlib import Path, PurePosixPath

import zstandard

from flowyml_aws.core.errors import DamagedArtifactError

__all__ = ["unpack"]

_MAX_CHARACTERS = 100


def unpack(packed: bytes, folder: Path, uri: str) -> None:
    """Write the files of a bundle below a folder.

    Args:
        packed: Bytes of the bundle.
        folder: Existing folder to write to.
        uri: URI of the bundle, for errors.

    Raises:
        DamagedArtifactError: The data is not a bundle, or a path in it leaves the folder.
    """
    try:
        with (
            zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)) as stream,
            tarfile.open(fileobj=stream, mode="r|") as tar,
        ):
            # Without `extractall`: it supports filters only from Python 3.10.12 and 3.11.4 on.
            for member in tar:
                name = PurePosixPath(member.name)
                file = tar.extractfile(member) if member.isreg() else None
                if file is None or name.is_absolute() or ".." in name.parts:
                    raise DamagedArtifactError(
                        what=f"Unsafe member {member.name!r} in {uri}",
                        why="a bundle contains only regular files with relative paths below it",
                        fix="run the pipeline again",
                    )
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as copy:
                    shutil.copyfileobj(file, copy)
                target.chmod(0o755 if member.mode & 0o100 else 0o644)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise DamagedArtifactError(
            what=f"{uri} has a file whose name is too long for this machine",
            why=f"{str(error.filename)[-_MAX_CHARACTERS:]}: {error.strerror}",
            fix="give the file a shorter name, and run the pipeline again",
        ) from error
    except (tarfile.TarError, zstandard.ZstdError) as error:
        raise DamagedArtifactError(
            what=f"{uri} is not a valid source bundle",
            why=f"{type(error).__name__}: {error}",
            fix="use the version of flowyml-aws that wrote it, in the client and in the image",
        ) from error
