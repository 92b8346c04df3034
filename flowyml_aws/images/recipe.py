"""An image by its content: what it is made of, and the tag that says so."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.engine import PLATFORM
from flowyml_aws.images.own import OwnPackage, own_package
from flowyml_aws.images.requirements import Requirements, find_requirements
from flowyml_aws.settings import Settings

__all__ = ["PYTHON_LABEL", "VERSION_LABEL", "ImageRecipe", "project_recipe"]

PYTHON_LABEL = "flowyml-aws.python"
"""Label of an image: the minor version of its Python, such as `3.12`."""

VERSION_LABEL = "flowyml-aws.version"
"""Label of an image: the version of flowyml_aws in it."""

_PYTHON_IMAGES: Mapping[str, str] = {
    "3.10": "docker.io/library/python:3.10.16-slim-bookworm",
    "3.11": "docker.io/library/python:3.11.11-slim-bookworm",
    "3.12": "docker.io/library/python:3.12.8-slim-bookworm",
    "3.13": "docker.io/library/python:3.13.1-slim-bookworm",
}
_CUDA_IMAGE = "docker.io/nvidia/cuda:12.6.3-runtime-ubuntu24.04"
_GPU = "gpu"
# Installs the layer of `requirements` in a job.
_UV = "uv>=0.5"
_WITHOUT_REQUIREMENTS = "nothing: the setting `requirements` is installed when a job starts"


@dataclass(frozen=True, slots=True)
class ImageRecipe:
    """What an image is made of.

    Attributes:
        python: Minor version of Python.
        dockerfile: Its text.
        arguments: Of the build.
        requirements: What the project needs.
        own: flowyml_aws as it goes into the image.
    """

    python: str
    dockerfile: str
    arguments: Mapping[str, str]
    requirements: Requirements
    own: OwnPackage

    @property
    def base(self) -> str:
        """The image that it is built on."""
        return self.arguments["BASE_IMAGE"]

    @property
    def tag(self) -> str:
        """Python's version and a digest of all that decides what is in the image.

        The same inputs give the same tag; what the package index offers is no input.
        """
        content = {
            "platform": PLATFORM,
            "dockerfile": self.dockerfile,
            "arguments": dict(self.arguments),
            "requirements": self.requirements.lines,
            "constraints": self.requirements.constraints,
            "flowyml-aws": self.own.identity,
        }
        text = json.dumps(content, sort_keys=True)
        return f"py{self.python}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def write_context(self, folder: Path) -> None:
        """Write what the build reads into an empty folder.

        Raises:
            FlowymlError: The wheel of flowyml_aws can't be built.
        """
        context = folder / "context"
        context.mkdir()
        own = self.own.requirement(context)
        files = {
            folder / "Dockerfile": self.dockerfile,
            context / "requirements.txt": _lines(self.requirements.lines),
            context / "constraints.txt": _lines(self.requirements.constraints),
            context / "flowyml-aws.txt": f"{own}\n",
        }
        for path, text in files.items():
            path.write_text(text, "utf-8")


def project_recipe(root: Path, settings: Settings) -> ImageRecipe:
    """The image of a project, for the Python that runs this.

    Args:
        root: The project's root.
        settings: Name the base image and the requirements.

    Raises:
        SettingsError: The requirements can't be read, or there is no image with this Python.
    """
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    own = own_package()
    if settings.requirements:
        requirements = Requirements((_UV,), (), _WITHOUT_REQUIREMENTS)
    else:
        requirements = find_requirements(root, settings.image_requirements)
    is_gpu = settings.base_image == _GPU
    arguments = {"PYTHON_VERSION": python, "FLOWYML_AWS_VERSION": own.version}
    if is_gpu:
        arguments |= {"PYTHON_IMAGE": _python_image(python), "BASE_IMAGE": _CUDA_IMAGE}
    else:
        arguments["BASE_IMAGE"] = settings.base_image or _python_image(python)
    return ImageRecipe(
        python=python,
        dockerfile=_dockerfile("Dockerfile.gpu" if is_gpu else "Dockerfile"),
        arguments=arguments,
        requirements=requirements,
        own=own,
    )


def _python_image(python: str) -> str:
    if python not in _PYTHON_IMAGES:
        raise SettingsError(
            what=f"No base image with Python {python} is known",
            why=f"this version of flowyml-aws knows those of {', '.join(_PYTHON_IMAGES)}",
            fix="name one in the setting `base_image`",
        )
    return _PYTHON_IMAGES[python]


def _dockerfile(name: str) -> str:
    # In a checkout they lie beside the package, in an installed one inside it.
    here = Path(__file__)
    folders = (here.with_name("container"), here.parents[2] / "container")
    file = next(path for folder in folders if (path := folder / name).is_file())
    return file.read_text("utf-8")


def _lines(lines: tuple[str, ...]) -> str:
    return "".join(f"{line}\n" for line in lines)
