"""A pipeline whose definitions are kept under versions and compared."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flowyml_aws.core.context import Context
from flowyml_aws.core.errors import InvalidVersionError, UnknownVersionError
from flowyml_aws.core.versions import (
    PipelineVersion,
    VersionComparison,
    compare,
    describe_pipeline,
)
from flowyml_aws.pipeline import Pipeline

if TYPE_CHECKING:
    pass

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
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        super().__init__(name, context)
        # A name is free text, and `.` and `..` are folders.
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
        """Under which the next `save_version` saves.

        Raises:
            InvalidVersionError: Set to what cannot be the name of a file.
        """
        return self._version

    @version.setter
    def version(self, version: str) -> None:
        if not isinstance(version, str) or not _VERSION.fullmatch(version):
            raise InvalidVersionError(
                what=f"{version!r} can't be a version",
                why="it names a file: up to 100 letters, digits and . _ + -, "
                "of which the first is no . + -",
                fix='write a version such as "v1.2.0"',
            )
        self._version = version

    def save_version(self, metadata: Mapping[str, Any] | None = None) -> PipelineVersion:
        """Keep the definition under the present version, in place of what is kept there.

        Args:
            metadata: Anything to keep with it; what JSON cannot hold is kept by its `repr`.

        Raises:
            InvalidPipelineError: With every mistake found in the pipeline.
            InvalidVersionError: Only the case of letters tells it from a version that is kept.
        """
        made = self._described(metadata)
        for other in self.list_versions():
            if other != made.version and other.lower() == made.version.lower():
                raise InvalidVersionError(
                    what=f"Version {made.version!r} can't be kept beside {other!r}",
                    why="some file systems do not tell small letters from capitals",
                    fix=f"write {other!r}, or another version",
                )
        self.versions_dir.mkdir(parents=True, exist_ok=True)
        path = self._path(made.version)
        # Beside it first: whoever reads sees all of the old one or all of the new one.
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        document = {"format": _FORMAT, **made.to_dict()}
        beside.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
        beside.replace(path)
        return made

    def list_versions(self) -> list[str]:
        """Versions that are kept, v0.9 before v0.10."""
        return sorted((path.stem for path in self.versions_dir.glob("[!.]*.json")), key=_natural)

    def get_version(self, version: str) -> PipelineVersion | None:
        """A version that is kept, or None.

        Raises:
            InvalidVersionError: Its file cannot be read.
        """
        # Only what is listed: so no version leads out of the folder.
        return self._read(self._path(version)) if version in self.list_versions() else None

    def compare_with(self, version: str) -> VersionComparison:
        """How the pipeline as it is now differs from a version that is kept.

        Raises:
            UnknownVersionError: No such version is kept.
            InvalidVersionError: Its file cannot be read.
            InvalidPipelineError: With every mistake found in the pipeline.
        """
        old = self.get_version(version)
        if old is None:
            known = ", ".join(self.list_versions()) or "(none)"
            raise UnknownVersionError(
                what=f"Pipeline {self.name!r} has no version {version!r}",
                why=f"kept in {self.versions_dir} are {known}",
                fix="name one of them, or keep this one with save_version()",
            )
        return compare(self._described(None), old)

    def __repr__(self) -> str:
        return f"VersionedPipeline({self.name!r}, {self.version!r}, {len(self.steps)} steps)"

    def _described(self, metadata: Mapping[str, Any] | None) -> PipelineVersion:
        return describe_pipeline(
            self.version, self.name, self.steps, self.context, self._now(), metadata
        )

    def _path(self, version: str) -> Path:
        return self.versions_dir / f"{version}.json"

    def _read(self, path: Path) -> PipelineVersion:
        try:
            document = json.loads(path.read_text("utf-8"))
            if not isinstance(document, dict) or document.get("format") != _FORMAT:
                raise ValueError(f"it does not say that its format is {_FORMAT!r}")
            return PipelineVersion.from_dict(document)
        except ValueError as error:  # also of what is no JSON, or no text
            raise InvalidVersionError(
                what=f"{path} is no version that can be read",
                why=str(error),
                fix="restore the file, or remove it and save the version again",
            ) from error


def _natural(version: str) -> list[str | int]:
    # Text and numbers alternate, so that like is compared with like.
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", version)]
