"""The image that the jobs of a project run in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from flowyml_aws.aws.registry import StoredImage, find_image
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.images.project import ProjectImage, project_image
from flowyml_aws.settings.model import Settings

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

__all__ = ["ImageChoice"]


@dataclass(frozen=True)
class ImageChoice:
    """The image of jobs: from the settings, or the project's image in the account's repository.

    Attributes:
        settings: Settings of the project.
        project: Root of the project; None if no new runs are created.
        named: Image that the settings name for all jobs, or None.
        ecr: Returns an ECR client for a region.
    """

    settings: Settings
    project: Path | None
    named: str | None
    ecr: Callable[[str], ECRClient]

    @cached_property
    def project_image(self) -> ProjectImage | None:
        """The project's image; None without a project or a repository.

        Raises:
            SettingsError: The inputs of the image can't be read.
        """
        if self.project is None or self.settings.repository is None:
            return None
        return project_image(self.project, self.settings)

    @cached_property
    def effective_settings(self) -> Settings:
        """The settings, with `image` set to the project's image if they name none.

        Raises:
            SettingsError: The inputs of the project's image can't be read.
        """
        if self.settings.image or self.project_image is None:
            return self.settings
        return replace(self.settings, image=self.project_image.uri)

    def stored(self) -> StoredImage | None:
        """Look up the project's image in its repository. Return None if it was not pushed.

        Raises:
            SettingsError: The repository does not exist.
            AwsRefusedError: AWS denied the call.
        """
        image = self.project_image
        if image is None or image.repository is None:
            return None
        return find_image(self.ecr(image.repository.region), image.repository, image.recipe.tag)

    @cached_property
    def problem(self) -> FlowymlError | None:
        """The error if jobs can't use the project's image; None if they can, or use another one."""
        if self.named:
            return None
        try:
            if self.project_image is None or self._found is not None:
                return None
        except FlowymlError as error:
            return error
        return self.project_image.not_pushed()

    @cached_property
    def manifest_problem(self) -> FlowymlError | None:
        """The error if SageMaker can't use the manifest of the project's image, or None."""
        if self.named or self.problem is not None or self.project_image is None:
            return None
        if self._found is None or self._found.has_docker_manifest:
            return None
        return self.project_image.wrong_manifest(self._found)

    @cached_property
    def _found(self) -> StoredImage | None:
        return self.stored()

    def notes(self) -> tuple[str, ...]:
        """Return the notes of a plan on the project's image."""
        if (problem := self.problem) is not None:
            return (f"{problem.what}: {problem.fix}",)
        if self.named or self.project_image is None:
            return ()
        source = self.project_image.recipe.requirements.source
        return (f"jobs run in the project's image {self.project_image.uri} ({source})",)
