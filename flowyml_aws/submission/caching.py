"""What earlier runs made of a pipeline, looked up in a store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flowyml_aws.artifacts.cache import CacheEntry, is_stored, read_entry
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import FlowymlError, InvalidPipelineError
from flowyml_aws.core.fingerprint import Fingerprinter
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.identity import StepIdentity, identify
from flowyml_aws.planning.reuse import Reuse, decide_reuse

__all__ = ["find_reuse", "identities_of"]

_READERS = 32  # small objects: the time is latency, not bandwidth


def identities_of(
    pipeline: str, graph: StepGraph, context: Mapping[str, Any], fingerprinter: Fingerprinter
) -> dict[str, StepIdentity]:
    """What the outcome of each step depends on that may be cached.

    Raises:
        InvalidPipelineError: With an error for each cache function that fails.
    """
    found: dict[str, StepIdentity] = {}
    problems: list[FlowymlError] = []
    for step in graph.steps:
        try:
            identity = identify(step, graph, context, fingerprinter)
        except FlowymlError as error:
            problems.append(error)
            continue
        if identity is not None:
            found[step.name] = identity
    if problems:
        raise InvalidPipelineError(pipeline, problems)
    return found


def find_reuse(
    store: ArtifactStore | None,
    graph: StepGraph,
    identities: Mapping[str, StepIdentity],
    given: Mapping[str, str],
    force_run: Collection[str],
) -> Reuse:
    """What earlier runs made, and what is left to run.

    Args:
        store: Where they left it; None where there is none.
        graph: The steps.
        identities: Of the steps that may be cached.
        given: Identity of each value that the run brings along, as far as known.
        force_run: Steps that run in any case, with all that depends on them.
    """

    def entries(keys: Sequence[str]) -> Mapping[str, CacheEntry]:
        if store is None or not keys:
            return {}
        with ThreadPoolExecutor(min(_READERS, len(keys))) as pool:
            found = pool.map(lambda key: read_entry(store, key), keys)
            return {key: entry for key, entry in zip(keys, found, strict=True) if entry}

    def missing(refs: Sequence[ArtifactRef]) -> Collection[ArtifactRef]:
        if store is None or not refs:
            return ()
        with ThreadPoolExecutor(min(_READERS, len(refs))) as pool:
            there = pool.map(lambda ref: is_stored(store, ref), refs)
            return [ref for ref, is_there in zip(refs, there, strict=True) if not is_there]

    return decide_reuse(graph, identities, given, entries, missing, force_run)
