"""Validation of keys, the same for all stores, so that no run depends on its store."""

from __future__ import annotations

from flowyml_aws.artifacts.errors import InvalidKeyError

__all__ = ["check_key", "check_prefix"]


def check_key(key: str) -> None:
    """Check that a key is relative, `/`-separated and without empty or dotted parts.

    Raises:
        InvalidKeyError: The key breaks one of these rules.
    """
    # Names with a leading dot are reserved for the store's own files.
    for part in key.split("/"):
        if not part or part.startswith("."):
            _reject(key, "one of its parts is empty or starts with a dot")
        if "\\" in part or not part.isprintable():
            _reject(key, "it contains a backslash or an unprintable character")


def check_prefix(prefix: str) -> None:
    """Check that a prefix is `""` or a key followed by `/`.

    Raises:
        InvalidKeyError: The prefix is neither.
    """
    if not prefix:
        return
    if not prefix.endswith("/"):
        _reject(prefix, "a prefix must end with a slash")
    check_key(prefix[:-1])


def _reject(key: str, why: str) -> None:
    raise InvalidKeyError(
        what=f"Invalid key for an artifact store: {key!r}",
        why=why,
        fix="use names of letters, digits, `-`, `_` and `.`, joined by single slashes",
    )
