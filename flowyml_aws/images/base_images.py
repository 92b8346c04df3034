"""Base images of projects' images.

Python's tags name a minor version, not a release: their publishers rebuild them for each release
of Python and of Debian, and never rebuild the tag of an older release. `make base-images` reports
tags that are no longer rebuilt, and newer releases.
"""

from __future__ import annotations

from collections.abc import Mapping

from flowyml_aws.core.errors import SettingsError

__all__ = ["BASE_IMAGES", "CUDA_IMAGE", "cuda_python_image", "python_image"]

_PYTHONS = ("3.10", "3.11", "3.12", "3.13")
_PYTHON_IMAGES: Mapping[str, str] = {
    python: f"docker.io/library/python:{python}-slim-trixie" for python in _PYTHONS
}
# Python is copied from them into Ubuntu 24.04, whose glibc (2.39) is older than trixie's.
_CUDA_PYTHON_IMAGES: Mapping[str, str] = {
    python: f"docker.io/library/python:{python}-slim-bookworm" for python in _PYTHONS
}

# The last release of CUDA 12. Blackwell needs 12.8 (B200, RTX PRO) or 12.9 (B300). CUDA 13 has
# dropped the V100, and needs a driver >= 580, which AWS documents for ECS's image (580.178.04 in
# November 2026), but not for SageMaker's hosts; CUDA 12 runs with drivers >= 525. Sources:
# https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
# https://github.com/aws/amazon-ecs-ami/releases
CUDA_IMAGE = "docker.io/nvidia/cuda:12.9.2-runtime-ubuntu24.04"
"""Image with CUDA's runtime libraries."""

BASE_IMAGES: tuple[str, ...] = (
    *_PYTHON_IMAGES.values(),
    *_CUDA_PYTHON_IMAGES.values(),
    CUDA_IMAGE,
)
"""All images that projects' images are built on by default."""


def python_image(python: str) -> str:
    """Return the image with a minor version of Python.

    Raises:
        SettingsError: This package does not support the version.
    """
    return _image(_PYTHON_IMAGES, python)


def cuda_python_image(python: str) -> str:
    """Return the image whose Python is copied into the image with CUDA.

    Raises:
        SettingsError: This package does not support the version.
    """
    return _image(_CUDA_PYTHON_IMAGES, python)


def _image(images: Mapping[str, str], python: str) -> str:
    if python not in images:
        raise SettingsError(
            what=f"No base image for Python {python}",
            why=f"this version of flowyml-aws supports Python {', '.join(images)}",
            fix="name one in the setting `base_image`",
        )
    return images[python]
