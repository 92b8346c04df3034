"""Which image the jobs of a project run in, and whether it is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from flowyml_aws.aws.registry import StoredImage, find_image
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.images.project import ProjectImage, project_image
from flowyml_aws.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

__all__ = ["ImageChoice"]


@dataclass(frozen=True)
class ImageChoice:
    """The image that the settings name, else the project's own in the account's repository.

    Attributes:
        settings: As they are.
        project: Root of the project; None where no new runs are made.
        named: The image that the settings name for all jobs at hand.
        ecr: A client of a region's registry.
    """

    settings: Settings
    project: Path | None
    named: str | None
    ecr: Callable[[str], ECRClient]

    @cached_property
    def own(self) -> ProjectImage | None:
        """The project's image; None where there is no repository for it, or no project.

        Raises:
            SettingsError: What it is made of can't be read.
        """
        if self.project is None or self.settings.repository is None:
            return None
        return project_image(self.project, self.settings)

    @cached_property
    def chosen(self) -> Settings:
        """The settings with the image that jobs run in.

        Raises:
            SettingsError: What the project's image is made of can't be read.
        """
        if self.settings.image or self.own is None:
            return self.settings
        return replace(self.settings, image=self.own.uri)

    def stored(self) -> StoredImage | None:
        """The project's image in its repository; None if it is not there.

        Raises:
            SettingsError: There is no such repository.
            AwsRefusedError: AWS denied the call.
        """
        own = self.own
        if own is None or own.repository is None:
            return None
        return find_image(self.ecr(own.repository.region), own.repository, own.recipe.tag)

    @cached_property
    def problem(self) -> FlowymlError | None:
        """Why jobs can't run in the project's image; None where they can, or have another one."""
        if self.named:
            return None
        try:
            if self.own is None or self.stored() is not None:
                return None
        except FlowymlError as error:
            return error
        return self.own.missing()

    def notes(self) -> tuple[str, ...]:
        """What a plan says of the project's image."""
        if (problem := self.problem) is not None:
            return (f"{problem.what}: {problem.fix}",)
        if self.named or self.own is None:
            return ()
        source = self.own.recipe.requirements.source
        return (f"jobs run in the project's image {self.own.uri} ({source})",)
