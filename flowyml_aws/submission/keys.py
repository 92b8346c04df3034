"""What the outcomes of a run's steps depended on, kept so that later runs can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError
from flowyml_aws.core.fingerprint import Fingerprinter
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.planning.reuse import Reuse

__all__ = ["RunKeys", "StepKey", "differences", "make_keys", "read_keys"]


class StepKey(Document):
    """What a step's outcome depends on, in parts.

    Attributes:
        code: Digest of each function, class, constant and module behind it, by qualified name.
        context: Digest of each context value that it reads.
        returned: Digest of what its cache function returned, or None.
        assets: Identity of each asset that it reads; None where its content decides, which was
            not known before the run.
        outputs: Its assets.
    """

    code: dict[str, str]
    context: dict[str, str]
    returned: str | None
    assets: dict[str, str | None]
    outputs: tuple[str, ...]


class RunKeys(Document):
    """What the outcomes of a run's steps depended on.

    Attributes:
        forced: Steps that the user wanted to run in any case.
        steps: Those that may be cached.
    """

    version: Literal[1] = 1
    forced: tuple[str, ...]
    steps: dict[str, StepKey]


def make_keys(
    graph: StepGraph, reuse: Reuse, forced: frozenset[str], fingerprinter: Fingerprinter
) -> RunKeys:
    """The parts of each step's key, for the record of a run.

    Args:
        graph: All steps of the pipeline.
        reuse: What was found of earlier runs.
        forced: Steps that the user wanted to run in any case.
        fingerprinter: The one that the identities are of.
    """
    steps = {}
    for step in graph.steps:
        if (identity := reuse.identities.get(step.name)) is not None:
            steps[step.name] = StepKey(
                code=dict(fingerprinter.parts(step)),
                context=dict(identity.context),
                returned=identity.returned,
                assets=dict(reuse.assets[step.name]),
                outputs=identity.outputs,
            )
    return RunKeys(forced=tuple(sorted(forced)), steps=steps)


def read_keys(store: ArtifactStore, run_id: str) -> RunKeys | None:
    """The keys of a run, or None where it left none."""
    key = RunLayout(run_id).keys
    try:
        return read_document(RunKeys, store.get(key), f"{store.uri}/{key}")
    except ArtifactNotFoundError:
        return None


def differences(now: StepKey, before: StepKey) -> Iterator[str]:
    """What of a step itself is another than before, assets aside."""
    yield from _changed("code of {}", now.code, before.code)
    yield from _changed("context value {!r}", now.context, before.context)
    if now.returned != before.returned:
        yield "what its cache function returns changed"
    if now.outputs != before.outputs:
        yield f"its outputs were {', '.join(before.outputs)}"
    if now.assets.keys() != before.assets.keys():
        yield f"it read {', '.join(before.assets) or 'no assets'}"


def _changed(what: str, now: Mapping[str, str], before: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(now.keys() | before.keys()):
        if now.get(name) != before.get(name):
            how = "is new" if name not in before else "changed" if name in now else "is gone"
            yield f"{what.format(name)} {how}"
