"""FlowyML's pipelines on AWS, unchanged.

FlowyML finds `FlowymlAws` by itself once this package is installed, as the orchestrator type
`flowyml_aws` of `flowyml.yaml`.
"""

from __future__ import annotations

from flowyml_aws.core.errors import MissingExtraError

try:
    # First of all: FlowyML imports this package in turn, while it is imported.
    import flowyml as _flowyml
except ModuleNotFoundError as error:
    raise MissingExtraError(
        what="FlowyML's pipelines need FlowyML",
        why=f"it is not installed here: {error}",
        fix="pip install 'flowyml-aws[flowyml]'",
    ) from error

from flowyml_aws.integrations.flowyml.guard import guard_local_runs
from flowyml_aws.integrations.flowyml.orchestrator import FlowymlAws

__all__ = ["FlowymlAws"]

guard_local_runs()
del _flowyml
