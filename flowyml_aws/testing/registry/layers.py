"""Layers of images: files named by their digest, and uploads that become such files."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from pathlib import Path
from weakref import WeakKeyDictionary

from moto.ecr.models import Repository

from flowyml_aws.testing.registry.errors import (
    blob_unknown,
    digest_invalid,
    range_invalid,
    upload_unknown,
)

__all__ = ["Layers"]


class Layers:
    """The layers of all repositories. A repository has only the layers that were pushed to it.

    Args:
        folder: New folder of the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True)
        self._uploads: dict[str, _Upload] = {}
        # A repository that is deleted and created again has no layers.
        self._sizes: WeakKeyDictionary[Repository, dict[str, int]] = WeakKeyDictionary()

    def start(self, repository: Repository) -> str:
        """Start an upload, and return its id."""
        name = uuid.uuid4().hex
        self._uploads[name] = _Upload(repository, self._folder / name)
        return name

    def append(
        self, name: str, repository: Repository, chunks: Iterable[bytes], start: int | None = None
    ) -> int:
        """Append bytes to an upload, and return its size.

        Args:
            name: Id of the upload.
            repository: Repository of the layer.
            chunks: The bytes.
            start: Position of the first byte; None to continue after the last one.

        Raises:
            RegistryError: The upload does not exist, or has another size.
        """
        upload = self._upload(name, repository)
        if start is not None and start != upload.size:
            raise range_invalid(upload.size)
        with upload.path.open("ab") as file:
            for chunk in chunks:
                upload.digest.update(chunk)
                upload.size += file.write(chunk)
        return upload.size

    def finish(self, name: str, repository: Repository, digest: str) -> None:
        """Turn an upload into a layer.

        Raises:
            RegistryError: The upload does not exist, or its content has another digest.
        """
        upload = self._upload(name, repository)
        actual = f"sha256:{upload.digest.hexdigest()}"
        del self._uploads[name]
        if digest != actual:
            upload.path.unlink()
            raise digest_invalid(digest, actual)
        upload.path.rename(self._path(digest))
        self._sizes.setdefault(repository, {})[digest] = upload.size

    def find(self, repository: Repository, digest: str) -> Path:
        """Return the file of a layer.

        Raises:
            RegistryError: The repository has no such layer.
        """
        if digest not in self._sizes.get(repository, {}):
            raise blob_unknown(digest)
        return self._path(digest)

    def size(self, repository: Repository, digest: str) -> int | None:
        """Return the size of a layer in bytes, or None if the repository does not have it."""
        return self._sizes.get(repository, {}).get(digest)

    def _upload(self, name: str, repository: Repository) -> _Upload:
        upload = self._uploads.get(name)
        if upload is None or upload.repository is not repository:
            raise upload_unknown()
        return upload

    def _path(self, digest: str) -> Path:
        return self._folder / digest.replace(":", "-")


class _Upload:
    """A layer that is being uploaded."""

    def __init__(self, repository: Repository, path: Path) -> None:
        self.repository = repository
        self.path = path
        self.digest = hashlib.sha256()
        self.size = 0
        path.touch()
