"""Pipelines whose definitions are saved as versions and compared."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flowyml_aws.client.versions import (
    PipelineVersion,
    VersionComparison,
    compare,
    describe_pipeline,
)
from flowyml_aws.core.context import Context
from flowyml_aws.core.errors import (
    InvalidPipelineError,
    InvalidVersionError,
    UnknownVersionError,
)
from flowyml_aws.core.inlining import inline
from flowyml_aws.core.private_files import make_private_folder, open_private
from flowyml_aws.core.written import parse_json
from flowyml_aws.pipeline import Pipeline

__all__ = ["PipelineVersion", "VersionComparison", "VersionedPipeline"]

_FORMAT = "flowyml-aws/1"
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}")


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


class VersionedPipeline(Pipeline):
    """A pipeline whose definitions are saved as versions and compared.

    Versions are files, `<versions_dir>/<name>/<version>.json`, to be committed with the code.

    Attributes:
        versions_dir: Folder of this pipeline's versions.
    """

    def __init__(
        self,
        name: str,
        version: str = "v0.1.0",
        versions_dir: str | os.PathLike[str] = ".flowyml/versions",
        context: Context | Mapping[str, Any] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        carry: Collection[str] = (),
        evaluate: Collection[str] = (),
        cache_on: Any = None,
        enable_cache: bool = True,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        super().__init__(
            name,
            context,
            env=env,
            secrets=secrets,
            carry=carry,
            evaluate=evaluate,
            cache_on=cache_on,
            enable_cache=enable_cache,
        )
        # A name may contain any characters, and `.` and `..` are existing folders.
        folder = quote(name, safe=" ") if name.strip(".") else name.replace(".", "%2E") or "_"
        self.versions_dir = Path(versions_dir) / folder
        self.version = version
        self._now = now

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline itself."""
        return self

    @property
    def version(self) -> str:
        """Version that the next `save_version` writes.

        Raises:
            InvalidVersionError: The new version is not a valid file name.
        """
        return self._version

    @version.setter
    def version(self, version: str) -> None:
        if not isinstance(version, str) or not _VERSION.fullmatch(version):
            raise InvalidVersionError(
                what=f"Invalid version {version!r}: it must be a valid file name",
                why="a version has up to 100 letters, digits and . _ + -, and does not start with "
                ". + or -",
                fix='write a version such as "v1.2.0"',
            )
        self._version = version

    def save_version(self, metadata: Mapping[str, Any] | None = None) -> PipelineVersion:
        """Save the definition as the current version, and replace an existing one.

        Args:
            metadata: Metadata to save with it. A value that JSON cannot represent is saved as
                its `repr`.

        Raises:
            InvalidPipelineError: With every mistake found in the pipeline.
            InvalidVersionError: The version differs from a saved version only in case.
        """
        saved = self._describe(metadata)
        for other in self.list_versions():
            if other != saved.version and other.lower() == saved.version.lower():
                raise InvalidVersionError(
                    what=f"Version {saved.version!r} differs from {other!r} only in case",
                    why="some file systems are case-insensitive",
                    fix=f"write {other!r}, or another version",
                )
        make_private_folder(self.versions_dir)
        path = self._path(saved.version)
        # Replaced atomically: readers see either the old or the new document.
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        document = {"format": _FORMAT, **saved.to_dict()}
        with open(temporary, "w", encoding="utf-8", opener=open_private) as file:
            file.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        temporary.replace(path)
        return saved

    def list_versions(self) -> list[str]:
        """Return the saved versions in natural order: v0.9 before v0.10."""
        return sorted((path.stem for path in self.versions_dir.glob("[!.]*.json")), key=_natural)

    def get_version(self, version: str) -> PipelineVersion | None:
        """Return a saved version, or None if it does not exist.

        Raises:
            InvalidVersionError: Its file cannot be read.
        """
        # Only listed versions are read, so that no version leads out of the folder.
        return self._read(self._path(version)) if version in self.list_versions() else None

    def compare_with(self, version: str) -> VersionComparison:
        """Compare the current definition with a saved version.

        Raises:
            UnknownVersionError: This version is not saved.
            InvalidVersionError: Its file cannot be read.
            InvalidPipelineError: With every mistake found in the pipeline.
        """
        old = self.get_version(version)
        if old is None:
            known = ", ".join(self.list_versions()) or "(none)"
            raise UnknownVersionError(
                what=f"Pipeline {self.name!r} has no version {version!r}",
                why=f"the versions in {self.versions_dir} are {known}",
                fix="name one of them, or save this version with save_version()",
            )
        return compare(self._describe(None), old)

    def __repr__(self) -> str:
        return f"VersionedPipeline({self.name!r}, {self.version!r}, {len(self.all_steps)} steps)"

    def _describe(self, metadata: Mapping[str, Any] | None) -> PipelineVersion:
        content = inline(self)
        if content.problems:
            raise InvalidPipelineError(self.name, content.problems)
        return describe_pipeline(
            self.version, self.name, content.steps, content.context, self._now(), metadata
        )

    def _path(self, version: str) -> Path:
        return self.versions_dir / f"{version}.json"

    def _read(self, path: Path) -> PipelineVersion:
        try:
            document = parse_json(path.read_text("utf-8"))
            if not isinstance(document, dict) or document.get("format") != _FORMAT:
                raise ValueError(f"its format is not {_FORMAT!r}")
            return PipelineVersion.from_dict(document)
        except ValueError as error:  # also from text that is not UTF-8 or not JSON
            raise InvalidVersionError(
                what=f"Can't read version file {path}",
                why=str(error),
                fix="restore the file, or remove it and save the version again",
            ) from error


def _natural(version: str) -> list[str | int]:
    # Text and numbers alternate, so that parts of the same type are compared.
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", version)]
