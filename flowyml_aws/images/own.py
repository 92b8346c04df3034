"""How flowyml_aws itself gets into an image: as it is installed here.

A release comes from the package index at the client's version. A development install has no
release: its source tree is built as a wheel, and its files are part of the image's name.
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

__all__ = ["OwnPackage", "own_package"]

_SUFFIXES = {".py", ".json", ".toml", ".gpu", ".typed"}


@dataclass(frozen=True, slots=True)
class OwnPackage:
    """flowyml_aws as an image gets it.

    Attributes:
        version: The client's.
        sha256: Of what is built, or None for a release.
        source: Folder of the source tree or a wheel, or None for a release.
    """

    version: str
    sha256: str | None = None
    source: Path | None = None

    @property
    def identity(self) -> str:
        """What decides whether two are the same."""
        return self.sha256 or f"flowyml-aws=={self.version}"

    def requirement(self, folder: Path) -> str:
        """The line to install it with; a wheel that is needed is put into the folder.

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


@cache  # a process has one
def own_package() -> OwnPackage:
    """The flowyml_aws that this process runs.

    Raises:
        SettingsError: It was installed from somewhere that an image can't be made from.
    """
    # Not imported: the package's top is above this module.
    version = str(vars(sys.modules["flowyml_aws"])["__version__"])
    try:
        told = distribution("flowyml-aws").read_text("direct_url.json")
    except PackageNotFoundError:  # a checkout on PYTHONPATH
        source = Path(__file__).parents[2]
        return OwnPackage(version, _digest_of_tree(source), source)
    if told is None:
        return OwnPackage(version)
    url = urlsplit(json.loads(told)["url"])
    source = Path(url2pathname(url.path))
    if url.scheme == "file" and source.is_dir():
        return OwnPackage(version, _digest_of_tree(source), source)
    if url.scheme == "file" and source.is_file() and source.suffix == ".whl":
        return OwnPackage(version, hashlib.sha256(source.read_bytes()).hexdigest(), source)
    raise SettingsError(
        what="No image can be made with this installation of flowyml-aws",
        why=f"it came from {url.geturl()}, which is neither a release nor here any more",
        fix="install a release, or a checkout of the source",
    )


def _digest_of_tree(source: Path) -> str:
    """Of the files that a wheel is built from."""
    digest = hashlib.sha256()
    files = [source / "pyproject.toml", *(source / "container").glob("Dockerfile*")]
    files += (p for p in (source / "flowyml_aws").rglob("*") if p.suffix in _SUFFIXES)
    for path in sorted(path for path in files if path.is_file()):
        name, data = path.relative_to(source).as_posix().encode(), path.read_bytes()
        digest.update(b"%d %b %d %b" % (len(name), name, len(data), data))
    return digest.hexdigest()


def _build_wheel(source: Path, folder: Path) -> Path:
    done = subprocess.run(_command(source, folder), capture_output=True, text=True, check=False)
    wheels = list(folder.glob("flowyml_aws-*.whl"))
    if done.returncode or len(wheels) != 1:
        raise FlowymlError(
            what=f"flowyml-aws can't be built from {source}",
            why=(done.stderr or done.stdout).strip()[-2000:] or f"exit code {done.returncode}",
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
        distribution("hatchling")
    except PackageNotFoundError:
        return False
    return True
