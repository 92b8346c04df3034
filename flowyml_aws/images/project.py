"""The image of a project: its name in the account's repository, and what to say of it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from flowyml_aws.aws.registry import Repository
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.engine import Engine
from flowyml_aws.images.recipe import ImageRecipe, project_recipe
from flowyml_aws.settings import Settings

__all__ = ["ProjectImage", "project_image"]

_HERE = "localhost/flowyml-aws"


@dataclass(frozen=True, slots=True)
class ProjectImage:
    """A project's image.

    Attributes:
        recipe: What it is made of.
        repository: Where it is pushed to; None where no repository is set up.
    """

    recipe: ImageRecipe
    repository: Repository | None

    @property
    def uri(self) -> str:
        """Its name, the tag included."""
        name = self.repository.uri if self.repository is not None else _HERE
        return f"{name}:{self.recipe.tag}"

    def build(self, engine: Engine, pip_conf: Path | None) -> bool:
        """Build it, unless it is on this machine; whether it had to be built.

        Args:
            engine: Builds it.
            pip_conf: Tells pip its index, for the build alone.

        Raises:
            FlowymlError: The build failed.
        """
        if engine.has(self.uri):
            return False
        with tempfile.TemporaryDirectory(prefix="flowyml-aws-image-") as folder:
            self.recipe.write_context(Path(folder))
            engine.build(self.uri, Path(folder), self.recipe.arguments, pip_conf)
        return True

    def missing(self) -> SettingsError:
        """The error to tell where the repository does not have it."""
        return SettingsError(
            what=f"The project's image {self.uri} was not pushed yet",
            why="jobs run in the image that has this Python, this flowyml-aws and "
            f"{self.recipe.requirements.source}; what is in it makes its tag",
            fix="run `flowyml-aws image push` in the project (or name another image: `image`)",
        )


def project_image(root: Path, settings: Settings) -> ProjectImage:
    """The image of a project.

    Raises:
        SettingsError: Its requirements or its repository can't be read.
    """
    named = settings.repository
    return ProjectImage(
        recipe=project_recipe(root, settings),
        repository=Repository.parse(named) if named is not None else None,
    )
