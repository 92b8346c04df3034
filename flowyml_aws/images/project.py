"""The image of a project, in the account's repository."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from flowyml_aws.aws.registry import Repository, StoredImage
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.engine import Engine
from flowyml_aws.images.recipe import ImageRecipe, project_recipe
from flowyml_aws.settings.model import Settings

__all__ = ["ProjectImage", "project_image"]

_LOCAL_NAME = "localhost/flowyml-aws"


@dataclass(frozen=True, slots=True)
class ProjectImage:
    """A project's image.

    Attributes:
        recipe: Contents of the image.
        repository: Repository that it is pushed to; None if none is set up.
    """

    recipe: ImageRecipe
    repository: Repository | None

    @property
    def uri(self) -> str:
        """Name of the image with its tag."""
        name = self.repository.uri if self.repository is not None else _LOCAL_NAME
        return f"{name}:{self.recipe.tag}"

    def name_on(self, engine: Engine) -> str | None:
        """Return the image's name on this machine, or None if it does not exist there.

        It may have another registry's name, or none: its tag depends on its contents only.
        """
        return self.uri if engine.has(self.uri) else engine.find_tag(self.recipe.tag)

    def build(self, engine: Engine, pip_conf: Path | None) -> bool:
        """Build the image unless it exists on this machine. Return whether it was built.

        Args:
            engine: Container engine that builds the image.
            pip_conf: Path of a pip.conf that is used only during the build, or None.

        Raises:
            FlowymlError: The build failed.
        """
        if (name := self.name_on(engine)) is not None:
            if name != self.uri:
                engine.tag(name, self.uri)
            return False
        with tempfile.TemporaryDirectory(prefix="flowyml-aws-image-") as folder:
            self.recipe.write_context(Path(folder))
            engine.build(
                self.uri,
                Path(folder),
                self.recipe.arguments,
                pip_conf=pip_conf,
                can_pull_base=self.recipe.has_default_base,
            )
        return True

    def not_pushed(self) -> SettingsError:
        """Return the error for an image that is not in its repository."""
        return SettingsError(
            what=f"The project's image {self.uri} was not pushed yet",
            why="jobs run in an image with this version of Python and of flowyml-aws, and with "
            f"{self.recipe.requirements.source}; its tag depends on its contents",
            fix="run `flowyml-aws image push` in the project (or name another image: `image`)",
        )

    def wrong_manifest(self, stored: StoredImage) -> SettingsError:
        """Return the error for an image whose manifest SageMaker does not accept."""
        assert self.repository is not None
        return SettingsError(
            what=f"SageMaker can't use the image {self.uri}: its manifest is not in Docker's "
            "format",
            why=f"the media type of its manifest is {stored.media_type}; another program than "
            "`flowyml-aws image push` has probably pushed it",
            fix=f"delete it (`aws ecr batch-delete-image --repository-name {self.repository.name} "
            f"--image-ids imageTag={self.recipe.tag}`), on this machine, too, and run `flowyml-aws "
            "image push`",
        )


def project_image(root: Path, settings: Settings) -> ProjectImage:
    """Return the image of a project.

    Raises:
        SettingsError: The requirements can't be read, or the setting `repository` is invalid.
    """
    uri = settings.repository
    return ProjectImage(
        recipe=project_recipe(root, settings),
        repository=Repository.parse(uri) if uri is not None else None,
    )
