"""Recipe of an image: its contents, and a tag derived from them."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flowyml_aws.images.base_images import CUDA_IMAGE, cuda_python_image, python_image
from flowyml_aws.images.certificates import read_certificates, with_variables
from flowyml_aws.images.client_package import ClientPackage, client_package
from flowyml_aws.images.engine import PLATFORM
from flowyml_aws.images.requirements.find import find_requirements
from flowyml_aws.images.requirements.lines import Requirements
from flowyml_aws.settings.model import Settings

__all__ = ["CONTEXT_EPOCH_S", "PYTHON_LABEL", "VERSION_LABEL", "ImageRecipe", "project_recipe"]

PYTHON_LABEL = "flowyml-aws.python"
"""Image label with the minor version of Python, such as `3.12`."""

VERSION_LABEL = "flowyml-aws.version"
"""Image label with the version of flowyml_aws."""

CONTEXT_EPOCH_S = 315532800
"""Time of the files in a build context, in seconds since the epoch: 1980, as in layers.py."""

_GPU = "gpu"
_SCRIPTS = ("layers.py", "trust.sh")
# Installs the setting `requirements` when a job starts.
_UV = "uv>=0.5"
# The extra `gpu`: a job measures the use of GPUs. Without it, jobs run, too.
_GPU_METRICS = "nvidia-ml-py>=12.535"
_WITHOUT_REQUIREMENTS = "nothing: the setting `requirements` is installed when a job starts"


@dataclass(frozen=True, slots=True)
class ImageRecipe:
    """Contents of an image.

    Attributes:
        python: Minor version of Python.
        dockerfile: Contents of the Dockerfile.
        scripts: Contents of the files that the Dockerfile runs, by name.
        arguments: Build arguments.
        requirements: Requirements of the project.
        package: The flowyml_aws package to install.
        certificates: Certificates, in PEM format, that the image trusts in addition; or empty.
        has_default_base: True if the settings do not name the base image.
    """

    python: str
    dockerfile: str
    scripts: Mapping[str, str]
    arguments: Mapping[str, str]
    requirements: Requirements
    package: ClientPackage
    certificates: str = ""
    has_default_base: bool = True

    @property
    def base(self) -> str:
        """Name of the base image."""
        return self.arguments["BASE_IMAGE"]

    @property
    def certificate_count(self) -> int:
        """Number of certificates that the image trusts in addition."""
        return self.certificates.count("BEGIN CERTIFICATE")

    @property
    def tag(self) -> str:
        """Python version, and a digest of the inputs of the image.

        The same inputs give the same tag. Package versions in the index are not an input.
        """
        content = {
            "platform": PLATFORM,
            "dockerfile": self.dockerfile,
            "scripts": dict(self.scripts),
            "certificates": self.certificates,
            "arguments": dict(self.arguments),
            "requirements": self.requirements.lines,
            "constraints": self.requirements.constraints,
            "flowyml-aws": self.package.identity,
            "gpu-metrics": _GPU_METRICS,
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
            context / "flowyml-aws.txt": f"{package}\n{_GPU_METRICS}\n",
            context / "ca-certificates.pem": self.certificates,
            **{context / name: text for name, text in self.scripts.items()},
        }
        for path, text in files.items():
            path.write_text(text, "utf-8")
            # A layer contains the times of its files.
            os.utime(path, (CONTEXT_EPOCH_S, CONTEXT_EPOCH_S))


def project_recipe(root: Path, settings: Settings) -> ImageRecipe:
    """Return the recipe of a project's image, with the Python version of this process.

    Args:
        root: Root of the project.
        settings: Settings that name the base image and the requirements.

    Raises:
        SettingsError: The requirements or the certificates can't be read, or no base image has this
            Python version.
    """
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    package = client_package()
    if settings.requirements:
        requirements = Requirements((_UV,), (), _WITHOUT_REQUIREMENTS)
    else:
        requirements = find_requirements(root, settings.image_requirements)
    certificates = read_certificates(root, settings.ca_certificates)
    arguments = {"PYTHON_VERSION": python, "FLOWYML_AWS_VERSION": package.version}
    if settings.base_image == _GPU:
        dockerfile = "Dockerfile.gpu"
        arguments |= {"PYTHON_IMAGE": cuda_python_image(python), "BASE_IMAGE": CUDA_IMAGE}
    else:
        dockerfile = "Dockerfile"
        arguments["BASE_IMAGE"] = settings.base_image or python_image(python)
    return ImageRecipe(
        python=python,
        dockerfile=with_variables(_file(dockerfile)) if certificates else _file(dockerfile),
        scripts={name: _file(name) for name in _SCRIPTS},
        arguments=arguments,
        requirements=requirements,
        package=package,
        certificates=certificates,
        has_default_base=settings.base_image in (None, _GPU),
    )


def _file(name: str) -> str:
    # In a checkout, the Dockerfiles are next to the package; in a release, inside it.
    module = Path(__file__)
    folders = (module.with_name("container"), module.parents[2] / "container")
    file = next(path for folder in folders if (path := folder / name).is_file())
    return file.read_text("utf-8")


def _lines(lines: tuple[str, ...]) -> str:
    return "".join(f"{line}\n" for line in lines)
