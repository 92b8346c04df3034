"""Lookup of earlier runs' outputs in the cache of a store."""

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
    pipeline: str,
    graph: StepGraph,
    context: Mapping[str, Any],
    fingerprinter: Fingerprinter,
    environments: Mapping[str, Mapping[str, str]],
) -> dict[str, StepIdentity]:
    """Return the identity of each step that can be cached, by step name.

    Args:
        pipeline: Name of the pipeline.
        graph: The pipeline's steps.
        context: Parameter values.
        fingerprinter: Fingerprinter of the steps.
        environments: Environment variables that the user gives the job of each step.

    Raises:
        InvalidPipelineError: A cache function failed; contains an error for each of them.
    """
    identities: dict[str, StepIdentity] = {}
    problems: list[FlowymlError] = []
    for step in graph.steps:
        try:
            identity = identify(step, graph, context, fingerprinter, environments.get(step.name))
        except FlowymlError as error:
            problems.append(error)
            continue
        if identity is not None:
            identities[step.name] = identity
    if problems:
        raise InvalidPipelineError(pipeline, problems)
    return identities


def find_reuse(
    store: ArtifactStore | None,
    graph: StepGraph,
    identities: Mapping[str, StepIdentity],
    external_inputs: Mapping[str, str],
    force_run: Collection[str],
    machines: Mapping[str, str] | None = None,
) -> Reuse:
    """Decide which outputs of earlier runs are reused, and which steps run.

    Args:
        store: Store with the cache entries, or None if there is none.
        graph: The pipeline's steps.
        identities: Identities of the steps that can be cached.
        external_inputs: Identity of each external input, if known.
        force_run: Steps to run without a cache lookup, with all steps that depend on them.
        machines: Kind of machine that each step is planned for, if known.
    """

    def entries(keys: Sequence[str]) -> Mapping[str, CacheEntry]:
        if store is None or not keys:
            return {}
        with ThreadPoolExecutor(min(_READERS, len(keys))) as pool:
            results = pool.map(lambda key: read_entry(store, key), keys)
            return {key: entry for key, entry in zip(keys, results, strict=True) if entry}

    def missing(refs: Sequence[ArtifactRef]) -> Collection[ArtifactRef]:
        if store is None or not refs:
            return ()
        with ThreadPoolExecutor(min(_READERS, len(refs))) as pool:
            checks = pool.map(lambda ref: is_stored(store, ref), refs)
            return [ref for ref, stored in zip(refs, checks, strict=True) if not stored]

    return decide_reuse(graph, identities, external_inputs, entries, missing, force_run, machines)
