"""The parts of a run's cache keys, recorded so that later runs can be compared with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.caching.fingerprint import Fingerprinter
from flowyml_aws.caching.reuse import Reuse
from flowyml_aws.core.environment import sign_of_secret
from flowyml_aws.core.errors import ArtifactNotFoundError
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.maps import short_names

__all__ = ["RunKeys", "StepKey", "differences", "make_keys", "read_keys", "written_parameters"]

_MAX_PARAMETER = 200  # characters


class StepKey(Document):
    """The parts of a step's cache key.

    Attributes:
        code: Digest of each function, class, constant and module that the step uses, by
            qualified name.
        context: Digest of each context value that the step reads.
        returned: Digest of its cache function's return value, or None.
        assets: Identity of each asset that the step reads; None if the asset is compared by
            content, which was unknown before the run.
        outputs: Assets that the step produces.
        environment: Environment variables that the user gave the step's job.
        additions: Digest of each addition of `cache_on`, by its description.
        versions: Version of each distribution that the step's code uses.
    """

    code: dict[str, str]
    context: dict[str, str]
    returned: str | None
    assets: dict[str, str | None]
    outputs: tuple[str, ...]
    environment: dict[str, str] = Field(default_factory=dict)
    additions: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)


class RunKeys(Document):
    """The cache keys of a run's steps, in parts.

    Attributes:
        forced: Steps that the user forced to run.
        steps: Key parts of each step that can be cached.
        incomplete: For each step that always runs, because its key would be incomplete: the values
            whose content is unknown.
        parameters: Context values as text, by name; only short values of simple types.
    """

    version: Literal[1] = 1
    forced: tuple[str, ...]
    steps: dict[str, StepKey]
    incomplete: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    parameters: dict[str, str] = Field(default_factory=dict)


def make_keys(
    graph: StepGraph,
    reuse: Reuse,
    forced: frozenset[str],
    fingerprinter: Fingerprinter,
    incomplete: Mapping[str, tuple[str, ...]],
    context: Mapping[str, Any],
) -> RunKeys:
    """Return the parts of each step's key, for the record of a run.

    Args:
        graph: All steps of the pipeline.
        reuse: Outputs of earlier runs, and the steps' identities.
        forced: Steps that the user forced to run.
        fingerprinter: Fingerprinter that computed the identities.
        incomplete: Steps without an identity, with the values whose content is unknown.
        context: Context values by name.
    """
    steps = {}
    for step in graph.steps:
        if step.declared_name in steps:
            continue  # another item of the same step
        if (identity := reuse.identities.get(step.name)) is not None:
            steps[step.declared_name] = StepKey(
                code=dict(fingerprinter.parts(step)),
                context=dict(identity.context),
                returned=identity.returned,
                assets={
                    graph.label(asset, step): value
                    for asset, value in reuse.assets[step.name].items()
                },
                outputs=identity.outputs,
                environment=dict(identity.environment),
                additions=dict(identity.additions),
                versions=dict(identity.versions),
            )
    return RunKeys(
        forced=tuple(sorted(forced)),
        steps=steps,
        incomplete=dict(incomplete),
        parameters=written_parameters(context),
    )


def read_keys(store: ArtifactStore, run_id: str) -> RunKeys | None:
    """Return the recorded keys of a run, or None if it has none."""
    key = RunLayout(run_id).keys
    try:
        return read_document(RunKeys, store.get(key), f"{store.uri}/{key}")
    except ArtifactNotFoundError:
        return None


def differences(now: StepKey, before: StepKey) -> Iterator[str]:
    """Yield the differences of a step itself, without the assets that it reads."""
    yield from _changed("code of {}", now.code, before.code)
    yield from _changed("context value {!r}", now.context, before.context)
    yield from _changed("environment variable {}", now.environment, before.environment)
    yield from _changed("{}", now.additions, before.additions)
    for name in sorted(now.versions.keys() | before.versions.keys()):
        old, new = before.versions.get(name), now.versions.get(name)
        if old is None:
            yield f"package {name} {new} is new"
        elif new is None:
            yield f"package {name} is not used any more"
        elif old != new:
            yield f"package {name}: version {new} instead of {old}"
    if now.returned != before.returned:
        yield "the return value of its cache function changed"
    if now.outputs != before.outputs:
        yield f"its outputs were {', '.join(before.outputs)}"
    if now.assets.keys() != before.assets.keys():
        yield f"it read {', '.join(short_names(before.assets)) or 'no assets'}"


def written_parameters(context: Mapping[str, Any]) -> dict[str, str]:
    """Return context values as text: short ones of simple types that do not look like secrets."""
    texts = {}
    for name, value in context.items():
        is_secret = sign_of_secret(name, value if isinstance(value, str) else "") is not None
        if not is_secret and _is_simple(value) and len(text := repr(value)) <= _MAX_PARAMETER:
            texts[name] = text
    return texts


def _is_simple(value: Any) -> bool:
    if value is None or type(value) in (bool, int, float, str):
        return True
    if type(value) in (list, tuple) and len(value) <= _MAX_PARAMETER:
        return all(map(_is_simple, value))
    if type(value) is dict and len(value) <= _MAX_PARAMETER:
        return all(_is_simple(part) for item in value.items() for part in item)
    return False


def _changed(label: str, now: Mapping[str, str], before: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(now.keys() | before.keys()):
        if now.get(name) != before.get(name):
            change = "is new" if name not in before else "changed" if name in now else "was removed"
            yield f"{label.format(name)} {change}"
