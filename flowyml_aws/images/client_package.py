"""Installation of flowyml_aws in an image, in the client's version.

A release is installed from the package index. A development install has no release: its source
tree is built as a wheel, and its files are part of the image's tag.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.core.version import installed_version

__all__ = ["ClientPackage", "client_package"]

_SUFFIXES = {".py", ".json", ".toml", ".gpu", ".typed"}


@dataclass(frozen=True, slots=True)
class ClientPackage:
    """The client's flowyml_aws, to be installed in an image.

    Attributes:
        version: Version of the client.
        sha256: SHA-256 of the source files or the wheel, or None for a release.
        source: Path of the source tree or the wheel, or None for a release.
    """

    version: str
    sha256: str | None = None
    source: Path | None = None

    @property
    def identity(self) -> str:
        """Digest or release, equal for equal packages."""
        return self.sha256 or f"flowyml-aws=={self.version}"

    def requirement(self, folder: Path) -> str:
        """Return the pip requirement. Unless it is a release, put a wheel into the folder.

        Raises:
            FlowymlError: The wheel can't be built.
        """
        if self.source is None:
            return f"flowyml-aws=={self.version}"
        if self.source.is_file():
            copy = folder / self.source.name
            copy.write_bytes(self.source.read_bytes())
            return f"./{copy.name}"
        return f"./{_build_wheel(self.source, folder).name}"


@cache  # it does not change during a process
def client_package() -> ClientPackage:
    """Return the flowyml_aws package that this process runs.

    Raises:
        SettingsError: The package was installed from a source that an image can't use.
    """
    version = installed_version()
    try:
        direct_url = distribution("flowyml-aws").read_text("direct_url.json")
    except PackageNotFoundError:  # a checkout on PYTHONPATH
        source = Path(__file__).parents[2]
        return ClientPackage(version, _digest_of_tree(source), source)
    if direct_url is None:
        return ClientPackage(version)
    url = urlsplit(json.loads(direct_url)["url"])
    source = Path(url2pathname(url.path))
    if url.scheme == "file" and source.is_dir():
        return ClientPackage(version, _digest_of_tree(source), source)
    if url.scheme == "file" and source.is_file() and source.suffix == ".whl":
        return ClientPackage(version, hashlib.sha256(source.read_bytes()).hexdigest(), source)
    raise SettingsError(
        what="Can't build an image with this installation of flowyml-aws",
        why=f"it came from {url.geturl()}, which is not a release, an existing folder or a wheel",
        fix="install a release, or a checkout of the source",
    )


def _digest_of_tree(source: Path) -> str:
    """Return the SHA-256 of the files that a wheel is built from."""
    digest = hashlib.sha256()
    files = [source / "pyproject.toml", *(source / "container").glob("*")]
    files += (p for p in (source / "flowyml_aws").rglob("*") if p.suffix in _SUFFIXES)
    for path in sorted(path for path in files if path.is_file()):
        name, data = path.relative_to(source).as_posix().encode(), path.read_bytes()
        digest.update(b"%d %b %d %b" % (len(name), name, len(data), data))
    return digest.hexdigest()


def _build_wheel(source: Path, folder: Path) -> Path:
    process = subprocess.run(_command(source, folder), capture_output=True, text=True, check=False)
    wheels = list(folder.glob("flowyml_aws-*.whl"))
    if process.returncode or len(wheels) != 1:
        raise FlowymlError(
            what=f"Can't build flowyml-aws from {source}",
            why=(process.stderr or process.stdout).strip()[-2000:]
            or f"exit code {process.returncode}",
            fix="repair the checkout (`make setup`), or install a release",
        )
    return wheels[0]


def _command(source: Path, folder: Path) -> list[str]:
    # If the build backend is installed, nothing is downloaded.
    options = ["--quiet", *(["--no-build-isolation"] if _has_backend() else [])]
    if find_spec("uv") is not None:  # faster, and environments that uv creates have no pip
        build = ["uv", "build", "--wheel", "--python", sys.executable, "--out-dir"]
    else:
        build = ["pip", "wheel", "--no-deps", "--disable-pip-version-check", "--wheel-dir"]
    return [sys.executable, "-m", *build, str(folder), *options, str(source)]


def _has_backend() -> bool:
    try:
        for name in ("hatchling", "hatch-vcs"):
            distribution(name)
    except PackageNotFoundError:
        return False
    return True
