"""Warnings about public names that a later version removes."""

from __future__ import annotations

import warnings

__all__ = ["FlowymlDeprecationWarning", "deprecated"]


class FlowymlDeprecationWarning(FutureWarning):
    """The program uses a public name that a later version of this package removes.

    A subclass of FutureWarning, which Python shows by default also if an imported module of the
    user is the caller.
    """


def deprecated(name: str, *, instead: str, since: str, removed_in: str, depth: int = 1) -> None:
    """Warn the caller of the function that calls this one.

    Args:
        name: Deprecated name as users write it, such as `Pipeline.add()`.
        instead: The replacement, such as `Pipeline.add_step()`.
        since: Version with the first warning.
        removed_in: Version without the name.
        depth: Number of calls between the user's line and the function that calls this one.
    """
    text = (
        f"{name} is deprecated since flowyml-aws {since} and will be removed in {removed_in}:"
        f" use {instead}"
    )
    warnings.warn(text, FlowymlDeprecationWarning, stacklevel=depth + 2)
