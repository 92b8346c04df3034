"""Number of Hypothesis examples: few in `make test`, many in `make test-all`."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

__all__ = ["examples", "load_profile"]

FAST_EXAMPLES = 50
THOROUGH_EXAMPLES = 500

# The seed is an argument of pytest (pyproject.toml), so that failures are reproducible. There is
# no deadline, because machines can be slow, and no database, so that runs are independent.
settings.register_profile(
    "fast", max_examples=FAST_EXAMPLES, derandomize=False, deadline=None, database=None
)
settings.register_profile(
    "thorough", settings.get_profile("fast"), max_examples=THOROUGH_EXAMPLES, print_blob=True
)


def load_profile(is_thorough: bool) -> None:
    """Use the profile for all tests that are imported later."""
    settings.load_profile("thorough" if is_thorough else "fast")


def examples(fast: int, thorough: int | None = None, **others: Any) -> settings:
    """Return the settings of a test whose examples are costly.

    Args:
        fast: Number of examples in the fast profile.
        thorough: Number of examples in the thorough profile; by default, in proportion to the
            profile's own number.
        others: Other settings.
    """
    factor = settings().max_examples // FAST_EXAMPLES
    is_thorough = factor > 1
    number = thorough if is_thorough and thorough is not None else fast * factor
    return settings(max_examples=number, **others)
