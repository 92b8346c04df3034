"""Recipe of an image: its contents, and a tag derived from them."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.client_package import ClientPackage, client_package
from flowyml_aws.images.engine import PLATFORM
from flowyml_aws.images.requirements.find import find_requirements
from flowyml_aws.images.requirements.lines import Requirements
from flowyml_aws.settings import Settings

__all__ = ["PYTHON_LABEL", "VERSION_LABEL", "ImageRecipe", "project_recipe"]

PYTHON_LABEL = "flowyml-aws.python"
"""Image label with the minor version of Python, such as `3.12`."""

VERSION_LABEL = "flowyml-aws.version"
"""Image label with the version of flowyml_aws."""

_PYTHON_IMAGES: Mapping[str, str] = {
    "3.10": "docker.io/library/python:3.10.16-slim-bookworm",
    "3.11": "docker.io/library/python:3.11.11-slim-bookworm",
    "3.12": "docker.io/library/python:3.12.8-slim-bookworm",
    "3.13": "docker.io/library/python:3.13.1-slim-bookworm",
}
_CUDA_IMAGE = "docker.io/nvidia/cuda:12.6.3-runtime-ubuntu24.04"
_GPU = "gpu"
# Installs the setting `requirements` when a job starts.
_UV = "uv>=0.5"
_WITHOUT_REQUIREMENTS = "nothing: the setting `requirements` is installed when a job starts"


@dataclass(frozen=True, slots=True)
class ImageRecipe:
    """Contents of an image.

    Attributes:
        python: Minor version of Python.
        dockerfile: Contents of the Dockerfile.
        arguments: Build arguments.
        requirements: Requirements of the project.
        package: The flowyml_aws package to install.
    """

    python: str
    dockerfile: str
    arguments: Mapping[str, str]
    requirements: Requirements
    package: ClientPackage

    @property
    def base(self) -> str:
        """Name of the base image."""
        return self.arguments["BASE_IMAGE"]

    @property
    def tag(self) -> str:
        """Python version, and a digest of the inputs of the image.

        The same inputs give the same tag. Package versions in the index are not an input.
        """
        content = {
            "platform": PLATFORM,
            "dockerfile": self.dockerfile,
            "arguments": dict(self.arguments),
            "requirements": self.requirements.lines,
            "constraints": self.requirements.constraints,
            "flowyml-aws": self.package.identity,
        }
        text = json.dumps(content, sort_keys=True)
        return f"py{self.python}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def write_context(self, folder: Path) -> None:
        """Write the Dockerfile and the build context into an empty folder.

        Raises:
            FlowymlError: The wheel of flowyml_aws can't be built.
        """
        context = folder / "context"
        context.mkdir()
        package = self.package.requirement(context)
        files = {
            folder / "Dockerfile": self.dockerfile,
            context / "requirements.txt": _lines(self.requirements.lines),
            context / "constraints.txt": _lines(self.requirements.constraints),
            context / "flowyml-aws.txt": f"{package}\n",
        }
        for path, text in files.items():
            path.write_text(text, "utf-8")


def project_recipe(root: Path, settings: Settings) -> ImageRecipe:
    """Return the recipe of a project's image, with the Python version of this process.

    Args:
        root: Root of the project.
        settings: Settings that name the base image and the requirements.

    Raises:
        SettingsError: The requirements can't be read, or no base image has this Python version.
    """
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    package = client_package()
    if settings.requirements:
        requirements = Requirements((_UV,), (), _WITHOUT_REQUIREMENTS)
    else:
        requirements = find_requirements(root, settings.image_requirements)
    is_gpu = settings.base_image == _GPU
    arguments = {"PYTHON_VERSION": python, "FLOWYML_AWS_VERSION": package.version}
    if is_gpu:
        arguments |= {"PYTHON_IMAGE": _python_image(python), "BASE_IMAGE": _CUDA_IMAGE}
    else:
        arguments["BASE_IMAGE"] = settings.base_image or _python_image(python)
    return ImageRecipe(
        python=python,
        dockerfile=_dockerfile("Dockerfile.gpu" if is_gpu else "Dockerfile"),
        arguments=arguments,
        requirements=requirements,
        package=package,
    )


def _python_image(python: str) -> str:
    if python not in _PYTHON_IMAGES:
        raise SettingsError(
            what=f"No base image for Python {python}",
            why=f"this version of flowyml-aws supports Python {', '.join(_PYTHON_IMAGES)}",
            fix="name one in the setting `base_image`",
        )
    return _PYTHON_IMAGES[python]


def _dockerfile(name: str) -> str:
    # In a checkout, the Dockerfiles are next to the package; in a release, inside it.
    module = Path(__file__)
    folders = (module.with_name("container"), module.parents[2] / "container")
    file = next(path for folder in folders if (path := folder / name).is_file())
    return file.read_text("utf-8")


def _lines(lines: tuple[str, ...]) -> str:
    return "".join(f"{line}\n" for line in lines)
