"""Pipelines that FlowyML 2.2.1 refuses to build, although its documentation has them.

- An `EvalStep` has neither inputs nor outputs. It is replaced by a step that calls it.
- The types of a `@map_task` are those of one item, but are compared with those of the whole list.
  They are not compared.
- The type of a `@dynamic` step is that of a wrapper, not of its outputs. It is not compared.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Any

from flowyml.core.dynamic import DynamicStep
from flowyml.core.map_task import MapTaskStep
from flowyml.core.pipeline import Pipeline
from flowyml.core.step import Step
from flowyml.core.type_validator import TypeValidator
from flowyml.evals.pipeline import EvalStep

__all__ = ["build_more_pipelines", "eval_inputs", "is_evaluation"]


def build_more_pipelines() -> None:
    """Patch FlowyML to build pipelines with evaluations, typed map tasks and dynamic steps."""
    build, validate = Pipeline.build, TypeValidator.validate_connection

    @functools.wraps(build)
    def build_with_eval_steps(self: Any) -> None:
        if any(map(is_evaluation, self.steps)):
            assets = {asset for step in self.steps for asset in getattr(step, "outputs", ())}
            self.steps = [_step_of(step, assets) for step in self.steps]
        build(self)

    @functools.wraps(validate)
    def validate_comparable(
        self: Any, producer_step: Any, consumer_step: Any, *args: Any, **kwargs: Any
    ) -> Any:
        if isinstance(producer_step, MapTaskStep | DynamicStep) or isinstance(
            consumer_step, MapTaskStep
        ):
            return []
        return validate(self, producer_step, consumer_step, *args, **kwargs)

    Pipeline.build = build_with_eval_steps
    TypeValidator.validate_connection = validate_comparable


def is_evaluation(function: Any) -> bool:
    """Return whether a step, or the function of a step, is an `EvalStep`."""
    return isinstance(function, EvalStep)


def eval_inputs(assets: Collection[str]) -> tuple[str, ...]:
    """Return the assets that an evaluation without declared inputs reads, by its parameters."""
    if {"predictions", "targets"} <= set(assets):
        return ("predictions", "targets")
    return ("data",) if "data" in assets else ()


def _step_of(item: Any, assets: Collection[str]) -> Any:
    if not is_evaluation(item):
        return item
    return Step(item, name=item.name, inputs=list(eval_inputs(assets)))
