"""Identities of steps: everything that decides a step's outputs, as parts that can be compared.

A cache key covers the step's code and the user's code that it uses, the context values that it
reads, the environment variables that the user gives its job, the result of the user's cache
function, the additions of `cache_on`, the versions of the packages that its code uses, and the
identity of each asset that it reads.

An asset is identified by the cache key of the step that produces it, if that key is known before
the run. It is identified by its content (the digest of its bytes and their codec) if the step
always runs or its cache rule is `"input_hash"`, and downstream of such a step. So an upstream
change always changes the key. The pipeline alone decides between the two, never the state of a
cache.

A step that waits for another one (`after=`) depends on what that step does, not on a value of it.
So its key covers the cache key of that step. It is never cached if that key is not known before
the run.

A step runs always if its identity is incomplete: it contains a value whose content is unknown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flowyml_aws.artifacts.refs import digest_of_facts
from flowyml_aws.caching.cache_on import AdditionReader
from flowyml_aws.caching.fingerprint import Fingerprinter
from flowyml_aws.core.binding import bind
from flowyml_aws.core.errors import InvalidStepError
from flowyml_aws.core.event_loop import awaiting
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.step import Step

__all__ = ["StepIdentity", "identified_by_content", "identify"]


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
        additions: Digest of each addition of `cache_on`, by its description.
        versions: Version of each distribution that the step's code uses.
        packages: Qualified names of the code of packages that the step uses.
        opaque: Values whose content is unknown. If there are any, the identity is incomplete.
    """

    code: str
    context: Mapping[str, str]
    returned: str | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    additions: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    packages: frozenset[str] = frozenset()
    opaque: tuple[str, ...] = ()

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
        # Facts without entries are left out, so that new kinds of facts keep the keys valid.
        named = (
            ("environment", self.environment),
            ("additions", self.additions),
            ("versions", self.versions),
        )
        facts += [{name: sorted(fact.items())} for name, fact in named if fact]
        return digest_of_facts(facts)


def identify(
    step: Step,
    graph: StepGraph,
    context: Mapping[str, Any],
    fingerprinter: Fingerprinter,
    environment: Mapping[str, str] | None = None,
    additions: AdditionReader | None = None,
) -> StepIdentity | None:
    """Return the identity of a step, or None if it is never cached.

    The versions of packages are not part of it yet: they depend on the steps upstream, too.

    Args:
        step: Step to identify.
        graph: Graph of the pipeline.
        context: Parameter values.
        fingerprinter: Fingerprinter of the pipeline's steps.
        environment: Environment variables that the user gives the step's job.
        additions: Reader of the additions to keys; None for one without common additions.

    Raises:
        InvalidStepError: The user's cache function fails, or an addition can't be read.
    """
    if step.cache is False:
        return None
    bound = graph.bound[step.name]
    code = fingerprinter.read(step)
    values = {
        own: fingerprinter.read_value(context[name], f"context value {name!r}")
        for own, name in bound.own_context.items()
    }
    returned = None
    if callable(step.cache):
        result = _returned(step, context)
        returned = fingerprinter.read_value(result, "the result of the cache function")
    read = [code, *values.values(), *([] if returned is None else [returned])]
    return StepIdentity(
        code=code.digest,
        context={name: value.digest for name, value in values.items()},
        returned=None if returned is None else returned.digest,
        inputs=step.own.inputs,
        outputs=step.own.assets,
        environment=environment or {},
        additions=(additions or AdditionReader()).read(step, fingerprinter),
        packages=frozenset().union(*(part.packages for part in read)),
        opaque=tuple(value for part in read for value in part.opaque),
    )


def identified_by_content(graph: StepGraph, cached: Collection[str]) -> dict[str, bool]:
    """Return for each step whether its assets are identified by their content.

    Args:
        graph: Graph of the pipeline.
        cached: Steps that may be cached.
    """
    by_content: set[str] = set()
    for step in graph.steps:
        always_runs = step.name not in cached
        if (
            always_runs
            or step.cache == "input_hash"
            or not by_content.isdisjoint(graph.parents[step.name])
        ):
            by_content.add(step.name)
    return {step.name: step.name in by_content for step in graph.steps}


def _returned(step: Step, context: Mapping[str, Any]) -> Any:
    assert callable(step.cache)
    if step.scope is not None:
        context = {own: context[name] for own, name in step.scope.context(context).items()}
    try:
        call = bind(step.cache, (), context).arguments
        return _consumed(awaiting(call.call)(step.cache, {}, context))
    except Exception as error:  # whatever the user's function raises
        raise InvalidStepError(
            what=f"Step {step.name!r}: the cache function failed",
            why=f"{type(error).__name__}: {error}",
            fix="fix the function; it is called on the client, with context values by name",
        ) from error


def _consumed(result: Any) -> Any:
    """Return a result with lists instead of iterators, whose items would otherwise not count."""
    if isinstance(result, Iterator):
        return ["iterator", *map(_consumed, result)]
    if type(result) in (list, tuple):
        return type(result)(map(_consumed, result))
    if type(result) is dict:
        return {name: _consumed(value) for name, value in result.items()}
    return result
