"""Choice of the services that run the jobs of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.planning.placement import Placement
from flowyml_aws.settings.load import load_settings

__all__ = ["chosen_placement"]


def chosen_placement(backend: str | Mapping[str, str] | None, project: Path) -> Placement:
    """Return the service of each group: from the option, the setting, or the default.

    Args:
        backend: Option `backend` of the run.
        project: Folder of the project.

    Raises:
        SettingsError: A service does not exist, the services can't be mixed, or the settings
            can't be read.
    """
    if backend is not None:
        return Placement.of(backend)
    setting = load_settings(project, os.environ).backend
    if setting is not None:
        try:
            return Placement.of(setting, "setting")
        except SettingsError as error:
            what = f"Invalid setting `backend`: {error.what}"
            raise SettingsError(what, error.why, error.fix) from None
    return Placement.of("local", "default")
