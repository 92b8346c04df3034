"""Errors about the connections between a sub-pipeline and the pipeline that contains it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from flowyml_aws.core.errors import UndefinedAssetError
from flowyml_aws.core.step import Scope, Step

__all__ = ["new_name", "unconnected", "unexposed", "visible_names"]


def new_name(step: Step, asset: str) -> str:
    """Return the advice for a step whose asset needs another name."""
    if step.scope is None:
        return f"rename the output of {step.name!r}"
    own, name = step.scope.own_names[asset], step.scope.path.rpartition("/")[2]
    return (
        f"give it another name: add_sub_pipeline(…, name={name!r}, "
        f"output_mapping={{{own!r}: {f'{name}_{own}'!r}}})"
    )


def visible_names(scope: Scope, steps: Sequence[Step], names: Sequence[str]) -> list[str]:
    """Return the names that a sub-pipeline can be connected to: not those in sub-pipelines.

    Args:
        scope: The sub-pipeline.
        steps: All steps.
        names: Assets and context values.
    """
    paths = {step.scope.path for step in steps if step.scope is not None}
    inner = tuple(f"{path}/" for path in paths if not scope.path.startswith(f"{path}/"))
    return [name for name in names if not name.startswith(inner)]


def unconnected(scope: Scope, asset: str, names: Sequence[str], listed: str) -> UndefinedAssetError:
    """Return the error for an input of a sub-pipeline that is not connected.

    Args:
        scope: The sub-pipeline.
        asset: Name of the input in the pipeline.
        names: Names that it can be connected to.
        listed: These names as text.
    """
    path, own, reader = scope.path, scope.own_names[asset], scope.step
    others = [name for name in scope.assets if name != own]
    near = difflib.get_close_matches(asset, [*names, *others], n=1)
    hint = f"did you mean {near[0]!r}? Otherwise " if near else ""
    verb = "reads" if own in reader.inputs else "waits for"
    if own != asset:
        return UndefinedAssetError(
            what=f"Sub-pipeline {path!r}: input_mapping names {asset!r}, which does not exist",
            why=f"it is the source of {own!r}, which its step {reader.name!r} {verb}; the assets "
            f"and the context values are {listed}",
            fix=f"{hint}name one of them, or pass it in the run's `inputs`",
        )
    return UndefinedAssetError(
        what=f"Sub-pipeline {path!r} has no source for its input {own!r}",
        why=f"its step {reader.name!r} {verb} it, and neither the sub-pipeline nor the pipeline "
        f"has it; the assets and the context values are {listed}",
        fix=f"{hint}connect it: add_sub_pipeline(…, input_mapping={{NAME: {own!r}}}), or pass it "
        "in the run's `inputs`",
    )


def unexposed(step: Step, verb: str, asset: str, inner: str) -> UndefinedAssetError:
    """Return the error for an asset that only exists in a sub-pipeline.

    Args:
        step: The step.
        verb: Its use of the asset: it reads it, or waits for it.
        asset: Name of the asset.
        inner: Name of an asset of a sub-pipeline that has this name there.
    """
    return UndefinedAssetError(
        what=f"Step {step.name!r} {verb} {asset!r}, which no step of the pipeline produces",
        why=f"sub-pipeline {inner.rpartition('/')[0]!r} has an asset of this name, and does not "
        "expose it",
        fix=f"expose it: add_sub_pipeline(…, outputs=[{asset!r}]), with its other outputs",
    )
