"""Patterns of policies: the wildcards `*` and `?`, and policy variables such as `${aws:username}`.

Source: "IAM policy elements: Variables and tags" (reference_policies_variables) in the IAM User
Guide.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

__all__ = ["Lookup", "has_variables", "literal", "wildcard"]

Lookup = Callable[[str], "str | None"]
"""Returns the value of a condition key that has exactly one value; None if it has none."""

_TOKEN = re.compile(r"\$\{([^}]*)\}|([*?])")
_WITH_DEFAULT = re.compile(r"([^,]*),\s*'(.*)'")
_WILDCARDS = {"*": ".*", "?": "."}
_SPECIAL = ("*", "?", "$")  # `${*}` is an asterisk that is not a wildcard


def has_variables(pattern: str) -> bool:
    """Return whether a pattern has a policy variable."""
    return "${" in pattern


def wildcard(pattern: str, lookup: Lookup | None = None) -> re.Pattern[str] | None:
    """Return the expression for a pattern with wildcards.

    Args:
        pattern: Pattern of a policy.
        lookup: Values of variables; None if the policy's version has no variables.

    Returns:
        None if a variable has neither a value nor a default: the pattern matches nothing.
    """
    if lookup is None or not has_variables(pattern):
        return _expression(pattern)
    source = _replaced(pattern, lookup, re.escape, _WILDCARDS)
    return None if source is None else re.compile(source, re.DOTALL)


def literal(pattern: str, lookup: Lookup | None = None) -> str | None:
    """Return the text of a pattern without wildcards.

    Args:
        pattern: Pattern of a policy.
        lookup: Values of variables; None if the policy's version has no variables.

    Returns:
        None if a variable has neither a value nor a default.
    """
    if lookup is None or not has_variables(pattern):
        return pattern
    return _replaced(pattern, lookup, str, {"*": "*", "?": "?"})


@lru_cache(maxsize=4096)
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(_WILDCARDS.get(c, re.escape(c)) for c in pattern), re.DOTALL)


def _replaced(
    pattern: str, lookup: Lookup, quote: Callable[[str], str], wildcards: dict[str, str]
) -> str | None:
    parts, end = [], 0
    for token in _TOKEN.finditer(pattern):
        parts.append(quote(pattern[end : token.start()]))
        end = token.end()
        variable, special = token.groups()
        value = wildcards[special] if special else _value(variable, lookup)
        if value is None:
            return None
        parts.append(value if special else quote(value))
    return "".join((*parts, quote(pattern[end:])))


def _value(variable: str, lookup: Lookup) -> str | None:
    if variable in _SPECIAL:
        return variable
    if with_default := _WITH_DEFAULT.fullmatch(variable):
        value = lookup(with_default[1].strip())
        return with_default[2] if value is None else value
    return lookup(variable.strip())
