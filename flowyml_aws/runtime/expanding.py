"""Pipelines that dynamic steps return: the job plans them with the code of the client.

The planner is named as a string: a job without such a pipeline never imports it.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from dataclasses import dataclass
from typing import Any, Protocol, cast

from flowyml_aws.artifacts.layout import EXPANSION, RunLayout
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.payload import Payload
from flowyml_aws.runtime.spec import StepSpec

__all__ = ["Expander", "Expands", "Returned", "is_pipeline"]

_PIPELINE = "flowyml_aws.pipeline"
_PLANNER = "flowyml_aws.client.expand"


class _Planner(Protocol):
    def expand(
        self, pipeline: Any, attempt: Attempt, step: StepSpec, payload: Payload
    ) -> bytes: ...


def is_pipeline(value: object) -> bool:
    """Return whether a value is a pipeline. Its module is not imported for other values."""
    module = sys.modules.get(_PIPELINE)
    return module is not None and isinstance(value, module.Pipeline)


@dataclass(frozen=True, slots=True)
class Returned:
    """A pipeline that a dynamic step has returned."""

    pipeline: Any


class Expands(Protocol):
    """Takes the pipelines that dynamic steps return."""

    def expand(self, step: StepSpec, pipeline: Any) -> str:
        """Return the digest of the document with a pipeline."""


@dataclass(frozen=True, slots=True)
class Expander:
    """Plans the pipeline of the dynamic step of a job.

    Attributes:
        attempt: Attempt that runs the step.
        payload: Payload of the job, whose carried values the jobs of the pipeline get, too.
    """

    attempt: Attempt
    payload: Payload

    def expand(self, step: StepSpec, pipeline: Any) -> str:
        """Plan a pipeline, and write the plan for the driver. Return the digest of the document.

        Raises:
            UserError: The pipeline has mistakes, exceeds a limit, or is too deep.
        """
        planner = cast("_Planner", importlib.import_module(_PLANNER))
        data = planner.expand(pipeline, self.attempt, step, self.payload)
        spec, number = self.attempt.spec, self.attempt.number
        self.attempt.store.put(RunLayout(spec.run_id).attempt(spec.job, number, EXPANSION), data)
        return hashlib.sha256(data).hexdigest()
