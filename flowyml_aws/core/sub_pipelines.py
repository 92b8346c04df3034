"""Declarations of sub-pipelines: pipelines whose steps become steps of another pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from flowyml_aws.core.control_flow import AddedFlow
from flowyml_aws.core.errors import FlowymlError, InvalidSubPipelineError
from flowyml_aws.core.step import Step

__all__ = ["DeclaredPipeline", "Inlined", "SubPipeline"]


class DeclaredPipeline(Protocol):
    """A pipeline as its user declared it; see `Pipeline`."""

    @property
    def name(self) -> str: ...
    @property
    def steps(self) -> Sequence[Step]: ...
    @property
    def sub_pipelines(self) -> Sequence[SubPipeline]: ...
    @property
    def added_flows(self) -> Sequence[AddedFlow]: ...
    @property
    def context(self) -> Mapping[str, Any]: ...
    @property
    def env(self) -> Mapping[str, str] | None: ...
    @property
    def secrets(self) -> Mapping[str, str] | None: ...
    @property
    def carry(self) -> tuple[str, ...]: ...
    @property
    def evaluate(self) -> tuple[str, ...]: ...
    @property
    def cache_on(self) -> tuple[Any, ...]: ...
    @property
    def enable_cache(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class SubPipeline:
    """A pipeline in another one. See `Pipeline.add_sub_pipeline`.

    Attributes:
        pipeline: The pipeline.
        position: Number of steps that the other pipeline declares before it.
        name: Name in the other pipeline.
        inputs: Inputs that are connected to the asset, input or context value of the same name.
        outputs: Assets that keep their names in the other pipeline.
        input_mapping: Asset, input or context value of the other pipeline → input.
        output_mapping: Asset → its name in the other pipeline.
        after: Assets, steps or sub-pipelines of the other pipeline that all its steps wait for.
    """

    pipeline: DeclaredPipeline
    position: int
    name: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    input_mapping: Mapping[str, str] = field(default_factory=dict)
    output_mapping: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or "/" in self.name:
            raise InvalidSubPipelineError(
                what=f"Invalid name {self.name!r} of a sub-pipeline",
                why="its steps are named NAME/STEP, so the name is a non-empty string without '/'",
                fix='write for example add_sub_pipeline(…, name="prepare")',
            )


@dataclass(frozen=True, slots=True)
class Inlined:
    """The steps of a pipeline with those of its sub-pipelines and flows, in declaration order.

    Attributes:
        context: Its context, with the values of the sub-pipelines: `prepare/rate`.
        carry, evaluate: Names of the pipeline and its sub-pipelines; see `Pipeline`.
        problems: An error for each mistake in the declarations of sub-pipelines and control flows.
    """

    steps: tuple[Step, ...]
    context: Mapping[str, Any]
    carry: tuple[str, ...] = ()
    evaluate: tuple[str, ...] = ()
    problems: tuple[FlowymlError, ...] = ()
