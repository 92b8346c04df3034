"""Run ML pipelines on AWS from a laptop: grouped steps, planned instances, one job per group."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from flowyml_aws.core.additions import Env
from flowyml_aws.core.approval_steps import approval
from flowyml_aws.core.auto_resources import Auto
from flowyml_aws.core.context import Context, context
from flowyml_aws.core.control_flow import If, Switch
from flowyml_aws.core.data_inputs import LocalData, S3Prefix
from flowyml_aws.core.dynamic import dynamic
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.mounts import EFS, FSx
from flowyml_aws.core.resources import (
    GPUConfig,
    NodeAffinity,
    ResourceRequirements,
    resources,
)
from flowyml_aws.core.skipped import Skipped
from flowyml_aws.core.step import Step, step
from flowyml_aws.core.step_grouping import StepGroupAnalyzer
from flowyml_aws.core.step_log import log_image, log_metric, log_table, log_text
from flowyml_aws.pipeline import Pipeline

if TYPE_CHECKING:
    from flowyml_aws.artifacts.lazy.handle import Lazy
    from flowyml_aws.client.result import PipelineResult
    from flowyml_aws.client.run import Run
    from flowyml_aws.versioning import VersionedPipeline

    __version__: str

__all__ = [
    "EFS",
    "Auto",
    "Context",
    "Env",
    "FSx",
    "FlowymlError",
    "GPUConfig",
    "If",
    "Lazy",
    "LocalData",
    "NodeAffinity",
    "Pipeline",
    "PipelineResult",
    "ResourceRequirements",
    "Run",
    "S3Prefix",
    "Skipped",
    "Step",
    "StepGroupAnalyzer",
    "Switch",
    "VersionedPipeline",
    "__version__",
    "approval",
    "context",
    "dynamic",
    "log_image",
    "log_metric",
    "log_table",
    "log_text",
    "resources",
    "step",
]

# What runs a pipeline is imported when it is asked for: importing this package stays cheap.
_IMPORTED_LATER = {
    "Lazy": "flowyml_aws.artifacts.lazy.handle",
    "PipelineResult": "flowyml_aws.client.result",
    "Run": "flowyml_aws.client.run",
    "VersionedPipeline": "flowyml_aws.versioning",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from flowyml_aws.core.version import installed_version

        return installed_version()
    if name in _IMPORTED_LATER:
        return getattr(importlib.import_module(_IMPORTED_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
