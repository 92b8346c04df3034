"""Orchestrator that runs FlowyML pipelines on AWS, unchanged.

Once this package is installed, FlowyML discovers `FlowymlAws` as the orchestrator type
`flowyml_aws` of `flowyml.yaml`.
"""

from __future__ import annotations

from flowyml_aws.core.errors import MissingExtraError

try:
    # This import must come first: FlowyML imports this package while it is being imported.
    import flowyml as _flowyml
except ModuleNotFoundError as error:
    raise MissingExtraError(
        what="Running FlowyML pipelines requires FlowyML",
        why=f"it is not installed: {error}",
        fix="pip install 'flowyml-aws[flowyml]'",
    ) from error

from flowyml_aws.runtime.flowyml_stand_in import is_stand_in

__all__ = ["FlowymlAws"]

if not is_stand_in(_flowyml):
    from flowyml_aws.integrations.flowyml.building import build_more_pipelines
    from flowyml_aws.integrations.flowyml.guard import guard_local_runs
    from flowyml_aws.integrations.flowyml.orchestrator import FlowymlAws

    build_more_pipelines()
    guard_local_runs()
else:  # in a job, which imports the script but starts no runs
    from flowyml_aws.runtime.flowyml_stand_in import (  # type: ignore[assignment]
        Orchestrator as FlowymlAws,
    )
del _flowyml
