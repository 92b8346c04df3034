"""What the outcome of a step depends on, as parts that can be compared.

A key covers the step's code with all of the user's code behind it, the context values that it
reads, what a cache function of the user's returns, and the identity of each asset that it reads.
An asset is identified by the key of the step that makes it as far as keys can be known before
anything runs; behind a step that always runs, or one that goes by its inputs' content, by its
content: the digest of its bytes, with what they stand for. So a change upstream always gives
another key, and which of the two it is follows from the pipeline alone, never from what is in a
cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowyml_aws.core.binding import bind
from flowyml_aws.core.cache_key import digest_of_facts
from flowyml_aws.core.errors import InvalidStepError
from flowyml_aws.core.fingerprint import Fingerprinter
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.step import Step

__all__ = ["StepIdentity", "context_read", "goes_by_content", "identify"]


@dataclass(frozen=True, slots=True)
class StepIdentity:
    """All that a step's outcome depends on, besides the assets that it reads.

    Attributes:
        code: Fingerprint of its code.
        context: Digest of each context value that it reads.
        returned: Digest of what the user's cache function returned; None without one.
        inputs: Its inputs, in order.
        outputs: Its assets, in order.
    """

    code: str
    context: Mapping[str, str]
    returned: str | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, in hex."""
        return digest_of_facts(
            [
                self.code,
                sorted(self.context.items()),
                self.returned,
                self.inputs,
                self.outputs,
            ]
        )


def identify(
    step: Step, graph: StepGraph, context: Mapping[str, Any], fingerprinter: Fingerprinter
) -> StepIdentity | None:
    """What a step's outcome depends on; None if it is never cached.

    Raises:
        InvalidStepError: The user's cache function fails.
    """
    if step.cache is False:
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
    )


def goes_by_content(graph: StepGraph) -> dict[str, bool]:
    """For each step, whether its assets are identified by their content."""
    found: dict[str, bool] = {}
    for step in graph.steps:
        behind = any(found[parent] for parent in graph.parents[step.name])
        found[step.name] = behind or step.cache is False or step.cache == "input_hash"
    return found


def context_read(step: Step, graph: StepGraph, context: Mapping[str, Any]) -> set[str]:
    """Names of the context values that a step's function and condition take."""
    read = set(bind(step.func, step.inputs, context).context)
    if step.condition is not None:
        reads = graph.reads[step.name]
        read.update(bind(step.condition, step.inputs, context, reads, step.func).context)
    return read


def _returned(step: Step, context: Mapping[str, Any]) -> Any:
    assert callable(step.cache)
    try:
        return bind(step.cache, (), context).call(step.cache, {}, context)
    except Exception as error:  # whatever the user's function raises
        raise InvalidStepError(
            what=f"Step {step.name!r}: its cache function fails",
            why=f"{type(error).__name__}: {error}",
            fix="correct it: it is called with context values by name, before anything runs",
        ) from error
