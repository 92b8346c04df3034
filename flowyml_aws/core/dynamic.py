"""Dynamic steps: functions that return a pipeline, with which the run continues."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

from flowyml_aws.core.auto_resources import DeclaredResources
from flowyml_aws.core.declared_options import UlimitValue
from flowyml_aws.core.mounts import EFS, FSx
from flowyml_aws.core.quantities import Quantity
from flowyml_aws.core.spot import SpotRule
from flowyml_aws.core.step import Step, step

__all__ = ["MAX_DEPTH", "dynamic"]

MAX_DEPTH = 3
"""Default maximum number of pipelines inside one another that a dynamic step may lead to."""


@overload
def dynamic(_func: Callable[..., Any], /) -> Step: ...
@overload
def dynamic(
    _func: None = None,
    /,
    *,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    after: Sequence[str] | None = None,
    max_depth: int = MAX_DEPTH,
    retry: int = 0,
    retry_delay: float = 1.0,
    timeout: float | None = None,
    resources: DeclaredResources = None,
    tags: Mapping[str, str] | None = None,
    name: str | None = None,
    condition: Callable[..., Any] | None = None,
    execution_group: str | None = None,
    env: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    spot: SpotRule | None = None,
    image: str | None = None,
    queue: str | None = None,
    priority: int | None = None,
    role: str | None = None,
    shared_memory: Quantity | None = None,
    ulimits: Mapping[str, UlimitValue] | None = None,
    mounts: Sequence[EFS | FSx] | None = None,
    job_definition: str | None = None,
) -> Callable[[Callable[..., Any]], Step]: ...
def dynamic(
    _func: Callable[..., Any] | None = None,
    /,
    *,
    max_depth: int = MAX_DEPTH,
    **options: Any,
) -> Step | Callable[[Callable[..., Any]], Step]:
    """Turn a function into a dynamic step: `@dynamic` or `@dynamic(outputs=["model"], …)`.

    The function runs in a job of the run. If it returns a `Pipeline`, that pipeline is planned,
    checked against the limits of the run, and run; its assets with the names of the outputs are the
    outputs of the step. Any other value is the value of the outputs, as for `step`.

    The function is executed in each run. The steps of its pipeline are cached as those of any other
    pipeline.

    Args:
        _func: The function, if used without parentheses.
        max_depth: Maximum number of pipelines inside one another that the step may lead to: 1 if
            its pipeline must not have dynamic steps that return pipelines, too.
        **options: Same as in `step`, for the job that calls the function. The steps of its pipeline
            have their own.
    """

    def decorate(func: Callable[..., Any]) -> Step:
        declared = step(**options, cache=False)(func)
        return replace(declared, max_depth=max_depth)

    return decorate if _func is None else decorate(_func)
