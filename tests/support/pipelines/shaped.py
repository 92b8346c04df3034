"""A pipeline of any shape; the value of each step identifies exactly what it read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from flowyml_aws import Pipeline, step


class Shape(NamedTuple):
    """A step with its inputs, outputs and execution group."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    group: str | None


def digest(name: str, values: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps([name, values], sort_keys=True).encode()).hexdigest()[:12]


def function(shape: Shape) -> Callable[..., object]:
    def work(**values: str) -> object:
        produced = [f"{name}={digest(name, values)}" for name in shape.outputs]
        return produced if len(produced) > 1 else produced[0]

    return work


def make(shapes: Sequence[Shape] = ()) -> Pipeline:
    pipeline = Pipeline("shaped")
    for shape in shapes:
        decorate = step(
            name=shape.name,
            inputs=shape.inputs,
            outputs=shape.outputs,
            execution_group=shape.group,
        )
        pipeline.add_step(decorate(function(shape)))
    return pipeline
