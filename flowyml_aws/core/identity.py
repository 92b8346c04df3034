"""Identities of steps: everything that decides a step's outputs, as parts that can be compared.

A cache key covers the step's code and the user's code that it uses, the context values that it
reads, the environment variables that the user gives its job, the result of the user's cache
function, and the identity of each asset that it reads.

An asset is identified by the cache key of the step that produces it, if that key is known before
the run. It is identified by its content (the digest of its bytes and their codec) if the step
always runs or its cache rule is `"input_hash"`, and downstream of such a step. So an upstream
change always changes the key. The pipeline alone decides between the two, never the state of a
cache.

A step that waits for another one (`after=`) depends on what that step does, not on a value of it.
So its key covers the cache key of that step. It is never cached if that key is not known before
the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowyml_aws.core.binding import bind
from flowyml_aws.core.cache_key import digest_of_facts
from flowyml_aws.core.errors import InvalidStepError
from flowyml_aws.core.event_loop import awaiting
from flowyml_aws.core.fingerprint import Fingerprinter
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.parameters import bind_step
from flowyml_aws.core.step import Step

__all__ = ["StepIdentity", "context_read", "identified_by_content", "identify"]


@dataclass(frozen=True, slots=True)
class StepIdentity:
    """Everything that decides a step's outputs, except the assets that it reads.

    Attributes:
        code: Fingerprint of the step's code.
        context: Digest of each context value that the step reads.
        returned: Digest of the result of the user's cache function; None without one.
        inputs: Inputs, in declaration order.
        outputs: Assets that the step produces, in declaration order.
        environment: Environment variables that the user gives the step's job.
    """

    code: str
    context: Mapping[str, str]
    returned: str | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of all parts, as hex."""
        facts: list[object] = [
            self.code,
            sorted(self.context.items()),
            self.returned,
            self.inputs,
            self.outputs,
        ]
        if self.environment:  # without variables, the keys of earlier versions stay valid
            facts.append({"environment": sorted(self.environment.items())})
        return digest_of_facts(facts)


def identify(
    step: Step,
    graph: StepGraph,
    context: Mapping[str, Any],
    fingerprinter: Fingerprinter,
    environment: Mapping[str, str] | None = None,
) -> StepIdentity | None:
    """Return the identity of a step, or None if it is never cached.

    A step is not cached if it only waits for a step that is identified by content, because
    what that step does is unknown before the run.

    Args:
        step: Step to identify.
        graph: Graph of the pipeline.
        context: Parameter values.
        fingerprinter: Fingerprinter of the pipeline's steps.
        environment: Environment variables that the user gives the step's job.

    Raises:
        InvalidStepError: The user's cache function fails.
    """
    if step.cache is False:
        return None
    if step.name in graph.after and _waits_for_content(step, graph):
        return None
    returned = None
    if callable(step.cache):
        returned = fingerprinter.digest_of(_returned(step, context), f"cache of {step.name}")
    return StepIdentity(
        code=fingerprinter.fingerprint(step),
        context={
            name: fingerprinter.digest_of(context[name], f"context {name}")
            for name in sorted(context_read(step, graph, context))
        },
        returned=returned,
        inputs=step.inputs,
        outputs=step.assets,
        environment=environment or {},
    )


def identified_by_content(graph: StepGraph) -> dict[str, bool]:
    """Return for each step whether its assets are identified by their content."""
    by_content: dict[str, bool] = {}
    for step in graph.steps:
        is_downstream = any(by_content[parent] for parent in graph.parents[step.name])
        by_content[step.name] = is_downstream or step.cache is False or step.cache == "input_hash"
    return by_content


def _waits_for_content(step: Step, graph: StepGraph) -> bool:
    by_content = identified_by_content(graph)
    return any(by_content[parent] for parent in graph.after[step.name])


def context_read(step: Step, graph: StepGraph, context: Mapping[str, Any]) -> set[str]:
    """Return the names of the context values that a step's function and condition take."""
    return bind_step(step, graph.reads[step.name], context).context


def _returned(step: Step, context: Mapping[str, Any]) -> Any:
    assert callable(step.cache)
    try:
        call = bind(step.cache, (), context).arguments
        return awaiting(call.call)(step.cache, {}, context)
    except Exception as error:  # whatever the user's function raises
        raise InvalidStepError(
            what=f"Step {step.name!r}: the cache function failed",
            why=f"{type(error).__name__}: {error}",
            fix="fix the function; it is called on the client, with context values by name",
        ) from error
