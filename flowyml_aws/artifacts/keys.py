"""Which keys a store takes. The same for all stores, so that no run depends on its store."""

from __future__ import annotations

from flowyml_aws.artifacts.errors import InvalidKeyError

__all__ = ["check_key", "check_prefix"]


def check_key(key: str) -> None:
    """Accept keys that are relative, `/`-separated and without empty or dotted parts.

    Raises:
        InvalidKeyError: The key is not one.
    """
    # A leading dot is kept for a store's own files.
    for part in key.split("/"):
        if not part or part.startswith("."):
            _reject(key, "one of its parts is empty or starts with a dot")
        if "\\" in part or not part.isprintable():
            _reject(key, "it has a backslash or an unprintable character")


def check_prefix(prefix: str) -> None:
    """Accept `""` and keys with a `/` behind them.

    Raises:
        InvalidKeyError: The prefix is neither.
    """
    if not prefix:
        return
    if not prefix.endswith("/"):
        _reject(prefix, "a prefix ends in a slash")
    check_key(prefix[:-1])


def _reject(key: str, why: str) -> None:
    raise InvalidKeyError(
        what=f"{key!r} is no key of an artifact store",
        why=why,
        fix="use names of letters, digits, `-`, `_` and `.`, joined by single slashes",
    )
