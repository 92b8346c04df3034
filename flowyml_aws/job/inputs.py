"""The recorded inputs of a step, for a command that runs in a job like that of the step.

`flowyml-aws exec` starts such a job. `load("rows")` returns the value of an input in a Python
program, and `python -m flowyml_aws.job.inputs rows` prints it: the path of a file, or the value.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.values import load_value
from flowyml_aws.core.errors import FlowymlError, StepUnavailableError
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.job.store import open_store
from flowyml_aws.runtime.spec import STORE_WAIT_S

__all__ = ["FOLDER_VARIABLE", "Inputs", "Kind", "RecordedInput", "load"]

FOLDER_VARIABLE = "FLOWYML_EXEC_FOLDER"
"""Variable with the folder of the inputs."""

_FILE = "inputs.json"


Kind = Literal["value", "items", "parts"]


class RecordedInput(Document):
    """A recorded input.

    Attributes:
        kind: `value` for one value, `items` for a list of a value of each ref, `parts` for a list
            of the items of all refs.
    """

    kind: Kind
    refs: tuple[ArtifactRef, ...]


class Inputs(Document):
    """The recorded inputs of a step.

    Attributes:
        store: URI of the store that contains them.
        assets: Inputs by asset.
    """

    version: Literal[1] = 1
    store: str
    assets: dict[str, RecordedInput]

    def write(self, folder: Path) -> None:
        """Write them to a folder, for `load`."""
        (folder / _FILE).write_bytes(self.to_json())

    def load(self, name: str, folder: Path) -> Any:
        """Return the value of an input.

        Args:
            name: Name of the asset.
            folder: Folder for values that are files.

        Raises:
            StepUnavailableError: There is no such input.
            ArtifactNotFoundError, DamagedArtifactError: The value is missing or damaged.
        """
        recorded = self.assets.get(name)
        if recorded is None:
            raise StepUnavailableError(
                what=f"The step has no recorded input {name!r}",
                why=f"its recorded inputs are {', '.join(self.assets) or '(none)'}",
                fix=did_you_mean(name, list(self.assets), "name one of them"),
            )
        store = open_store(self.store, STORE_WAIT_S)
        values = [load_value(store, ref, name, folder) for ref in recorded.refs]
        if recorded.kind == "value":
            return values[0]
        return values if recorded.kind == "items" else [item for part in values for item in part]


def load(name: str, environment: Mapping[str, str] = os.environ) -> Any:
    """Return the value of an input in a command of `flowyml-aws exec`.

    Args:
        name: Name of the asset.
        environment: Variables of this process.

    Raises:
        StepUnavailableError: There is no such input, or this is no such command.
    """
    if FOLDER_VARIABLE not in environment:
        raise StepUnavailableError(
            what=f"Can't load the input {name!r}",
            why=f"the variable {FOLDER_VARIABLE} is not set",
            fix="call it in a command of `flowyml-aws exec`",
        )
    folder = Path(environment[FOLDER_VARIABLE])
    inputs = Inputs.model_validate_json((folder / _FILE).read_bytes())
    return inputs.load(name, folder / "values")


if __name__ == "__main__":
    try:
        for asset in sys.argv[1:]:
            print(load(asset))
    except FlowymlError as error:
        sys.exit(f"error: {error}")
