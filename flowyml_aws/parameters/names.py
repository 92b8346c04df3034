"""Context values that no parameter takes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence

from flowyml_aws.core.errors import FlowymlError, SettingsError

__all__ = ["unknown_in_pipeline", "unknown_in_run"]

_SIMILAR = 0.8
"""Ratio of difflib: `epoch` is similar to `epochs`, and `test_size` is not to `train_size`."""


def unknown_in_run(
    pipeline: str, names: Collection[str], known: Collection[str]
) -> list[FlowymlError]:
    """Return an error if a run has context values that no parameter takes.

    Args:
        pipeline: Name of the pipeline.
        names: Names in the context of the run.
        known: Names of the parameters that take context values.
    """
    unknown = sorted(set(names).difference(known))
    if not unknown:
        return []
    near = [match for name in unknown for match in difflib.get_close_matches(name, known, n=1)]
    hint = f" (did you mean {', '.join(map(repr, near))}?)" if near else ""
    return [
        SettingsError(
            what=f"No step of pipeline {pipeline!r} takes {', '.join(map(repr, unknown))}{hint}",
            why=f"its parameters are {', '.join(sorted(known)) or '(none)'}",
            fix="correct the name in the context, or add a parameter of this name to a step",
        )
    ]


def unknown_in_pipeline(
    names: Collection[str], known: Collection[str], filled: Collection[str]
) -> tuple[list[FlowymlError], list[str]]:
    """Return errors and notes for values in a pipeline's context that no parameter takes.

    One context may serve several pipelines, so that such a value is a mistake only if a parameter
    seems to be meant.

    Args:
        names: Names in the context of the pipeline.
        known: Names of the parameters that take context values.
        filled: Parameters that have a value in the context.
    """
    unknown = [name for name in names if name not in known]
    open_names = sorted(set(known).difference(filled))
    problems: list[FlowymlError] = []
    harmless = []
    for name in unknown:
        if (similar := _similar(name, open_names)) is not None:
            problems.append(
                SettingsError(
                    what=f"No step takes the context value {name!r} (did you mean {similar!r}?)",
                    why=f"the parameter {similar!r} has no value in the context",
                    fix=f"rename {name!r}; if both are meant, add {similar!r} to the context",
                )
            )
        else:
            harmless.append(name)
    notes = [f"context values that no step takes: {', '.join(harmless)}"] if harmless else []
    return problems, notes


def _similar(name: str, known: Sequence[str]) -> str | None:
    """Return the parameter that seems to be meant by a name."""
    plain = {_plain(other): other for other in known if not _differ_in_number(name, other)}
    near = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=_SIMILAR)
    return plain[near[0]] if near else None


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _differ_in_number(name: str, other: str) -> bool:
    """Return whether two names are those of different things, as `layer_1` and `layer_2`."""
    return name != other and re.sub(r"\d+", "", name) == re.sub(r"\d+", "", other)
