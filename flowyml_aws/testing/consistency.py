"""Eventual consistency: changes appear in listings, or take effect, after a while."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Generic, TypeVar

from flowyml_aws.testing.clock import Clock

__all__ = ["Listing", "Propagation", "Transitions"]

Entry = TypeVar("Entry")


class Propagation:
    """Delays of changes on the account's clock, each up to a maximum and decided by a seed.

    Args:
        clock: Clock of the account.
        longest_s: Longest delay; 0 if changes take effect at once, which no AWS account has.
        random: Source of random numbers.
    """

    def __init__(self, clock: Clock, longest_s: float, random: Random) -> None:
        self._clock = clock
        self._longest_s = longest_s
        self._random = random

    def spread(self, action: Callable[[], object]) -> None:
        """Run an action, with the lock, after a delay."""
        if self._longest_s:
            self._clock.delay(self._random.uniform(0, self._longest_s), action)
        else:
            action()


class Listing(Generic[Entry]):
    """Entries as a listing shows them: each new entry or state appears after a delay.

    The states of one entry appear in their order.
    """

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation
        self._shown: dict[str, Entry | None] = {}  # in creation order
        self._pending: dict[str, list[Entry]] = {}
        self._latest: dict[str, Entry] = {}

    def record(self, key: str, entry: Entry) -> None:
        """Record the state of an entry. No-op if it has not changed."""
        if self._latest.get(key) == entry:
            return
        self._latest[key] = entry
        self._shown.setdefault(key, None)
        # Delays may end in another order, so the end of one shows the next state.
        self._pending.setdefault(key, []).append(entry)
        self._propagation.spread(lambda: self._show_next(key))

    def entries(self) -> list[Entry]:
        """Return the entries that are shown now, in creation order."""
        return [entry for entry in self._shown.values() if entry is not None]

    def _show_next(self, key: str) -> None:
        self._shown[key] = self._pending[key].pop(0)


class Transitions:
    """Resources in a temporary state, such as CREATING, and the end of this state."""

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation
        self._states: dict[str, str] = {}

    def begin(self, key: str, state: str) -> None:
        """Put a resource into a state, for a while."""
        self._states[key] = state
        self._propagation.spread(lambda: self._states.pop(key, None))

    def state(self, key: str) -> str | None:
        """Return the temporary state of a resource, or None."""
        return self._states.get(key)
