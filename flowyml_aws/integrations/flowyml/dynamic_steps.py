"""Conversion of FlowyML's `@dynamic`: the pipeline that its function returns in the job.

FlowyML 2.2.1 passes the outputs of all steps so far as one dict, whatever the parameters are, and
runs the returned pipeline twice. Here the parameters are filled as those of any other step.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from flowyml.core.pipeline import Pipeline as FlowymlPipeline

from flowyml_aws.core.dynamic import MAX_DEPTH
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_objects import is_dynamic_step, unwrap_step
from flowyml_aws.pipeline import Pipeline

__all__ = ["DynamicCall", "as_dynamic", "dynamic_call_of"]

Convert = Callable[[FlowymlPipeline], Pipeline]


@dataclass(frozen=True)
class DynamicCall:
    """The function of a dynamic step, which returns a pipeline of this package in its job.

    Attributes:
        func: The user's function.
        convert: Converts a FlowyML pipeline.
    """

    func: Callable[..., Any]
    convert: Convert

    @property
    def __signature__(self) -> inspect.Signature:
        """Signature of the function."""
        return inspect.signature(self.func)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the converted pipeline; any other value of the function unchanged.

        Raises:
            InvalidPipelineError: With every unsupported feature and invalid step of the pipeline.
        """
        returned = self.func(*args, **kwargs)
        if not isinstance(returned, FlowymlPipeline):
            return returned
        converted = self.convert(returned)
        converted.enable_cache = returned.enable_cache
        return converted


def dynamic_call_of(flowyml_step: Any, convert: Convert) -> DynamicCall | None:
    """Return the call of a FlowyML step that `@dynamic` made, or None for any other step."""
    if not is_dynamic_step(flowyml_step):
        return None
    return DynamicCall(unwrap_step(flowyml_step), convert)


def as_dynamic(step: Step) -> Step:
    """Return a step as a dynamic one, which is executed in each run."""
    return replace(step, max_depth=MAX_DEPTH, cache=False)
