"""The version of this package."""

from __future__ import annotations

__all__ = ["UNKNOWN_VERSION", "installed_version"]

UNKNOWN_VERSION = "0+unknown"


def installed_version() -> str:
    """Return the version that the installation recorded, derived from a git tag.

    A checkout that is on `PYTHONPATH` and not installed has the version `0+unknown`.
    """
    from importlib.metadata import PackageNotFoundError, version  # takes as long as this package

    try:
        return version("flowyml-aws")
    except PackageNotFoundError:
        return UNKNOWN_VERSION
