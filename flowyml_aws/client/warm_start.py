"""Start of the process from which the jobs of a run are forked, before the run is checked.

It takes as long as the import of the modules that check and plan a run, so this module imports few
of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from flowyml_aws.client.placements import chosen_placement
from flowyml_aws.core.environment import merge_environments
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.loading import stop_while_loading
from flowyml_aws.core.nesting import refuse_own_pipeline
from flowyml_aws.core.step import Step
from flowyml_aws.packaging.imports import libraries_of, program_imports
from flowyml_aws.packaging.project import find_project
from flowyml_aws.packaging.starting import prepare_jobs
from flowyml_aws.planning.environment import environment_on_this_machine
from flowyml_aws.settings.load import load_settings

__all__ = ["start_warm"]


def start_warm(
    name: str, steps: Sequence[Step], env: Mapping[str, str] | None, options: Mapping[str, Any]
) -> None:
    """Start the process that jobs on this machine are forked from; no-op for other runs.

    Mistakes in the settings and options are left to the checks of the run.

    Args:
        name: Name of the pipeline.
        steps: Its steps, with those of sub-pipelines.
        env: Its environment variables.
        options: Options of the run.

    Raises:
        FlowymlError: No run may start here: the program is being loaded, or is a job of the run.
    """
    stop_while_loading()
    refuse_own_pipeline(name)
    project = find_project(step.func for step in steps)
    try:
        settings = load_settings(project.root, os.environ)
        placement = chosen_placement(options.get("backend"), project.root)
    except (FlowymlError, TypeError, AttributeError):  # an option of another type
        return
    if not (settings.warm_starts and placement.is_in_place):
        return
    own = merge_environments(settings.env, env, options.get("env"))
    environment = environment_on_this_machine(own, os.environ)
    prepare_jobs(environment, libraries_of(program_imports(steps)))
