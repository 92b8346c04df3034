"""Values that the steps of a job pass to each other.

Every reader gets a value as its producer returned it, whatever other readers do with it. The last
reader gets the object itself, so a chain of steps copies nothing. The others get copies.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowyml_aws.core.errors import ChangedFileError, UncopyableValueError
from flowyml_aws.runtime.copies import (
    Loan,
    Snapshot,
    UncopyableError,
    WritableSnapshot,
    is_scalar,
    shared_between,
)
from flowyml_aws.runtime.file_states import FileState, file_state

__all__ = ["READ_ONLY_ADVICE", "Call", "JobValues"]

READ_ONLY_ADVICE = """\
  why: an array of more than 16 MiB is read-only if another step, or a retry, still needs it
  fix: change a copy: array = array.copy()
"""

_ONE_REFERENCE = 2  # `sys.getrefcount` counts its own argument


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the user's code, which reads values.

    Attributes:
        reader: Description of the reader, for error messages.
        reads: Names of the values.
        repeats: Whether the call is repeated if it fails.
    """

    reader: str
    reads: tuple[str, ...]
    repeats: bool = False


@dataclass(slots=True)
class _Held:
    """A value that waits for its readers.

    Attributes:
        value: The value.
        snapshot: Source of copies, or None as long as none is needed.
        kept: Whether something else referred to the value when it was produced, such as a global
            of the program.
        files: Paths in the value, and the states of their files when it was produced.
        loans: Loans of the copies that readers got.
    """

    value: Any
    snapshot: Snapshot | None = None
    kept: bool = False
    files: Mapping[Path, FileState] = field(default_factory=dict)
    loans: list[Loan] = field(default_factory=list)

    def copy(self) -> tuple[Any, Loan]:
        """Return a copy. Raises UncopyableError."""
        if self.snapshot is None:
            self.snapshot = Snapshot(self.value)
        value, loan = self.snapshot.lend()
        self.loans.append(loan)
        return value, loan

    def is_kept(self) -> bool:
        """Return whether something else refers to the value."""
        if sys.getrefcount(self.value) <= _ONE_REFERENCE:
            return False
        gc.collect()  # often a cycle that nothing refers to
        return sys.getrefcount(self.value) > _ONE_REFERENCE

    def is_lent(self) -> bool:
        """Return whether earlier readers' copies are in use, for example as outputs."""
        if not any(loan.in_use for loan in self.loans):
            return False
        gc.collect()
        return any(loan.in_use for loan in self.loans)

    def is_changed(self) -> bool:
        """Return whether a file of the value was changed."""
        return any(file_state(path) != state for path, state in self.files.items())


class JobValues:
    """Values by name, until their last reader.

    Args:
        kind: Kind of the values, for error messages.
        calls: All calls of the job, in order.
        is_stored: Returns whether `load` can load a value.
        load: Loads stored values.
    """

    def __init__(
        self,
        kind: str,
        calls: Iterable[Call],
        is_stored: Callable[[str], bool] = lambda _: False,
        load: Callable[[Sequence[str]], dict[str, Any]] = lambda _: {},
    ) -> None:
        self._kind = kind
        self._readers: dict[str, list[Call]] = {}
        for call in calls:
            for name in call.reads:
                self._readers.setdefault(name, []).append(call)
        self._is_stored, self._load = is_stored, load
        self._held: dict[str, _Held] = {}
        self._recent_loans: list[Loan] = []

    def add(self, produced: dict[str, Any], are_kept: bool = False) -> None:
        """Take over values, such as those that a step returned: they are removed from the dict.

        Args:
            produced: Values by name.
            are_kept: Whether something else certainly refers to them, so that this need not be
                found out.

        Raises:
            UncopyableValueError: A value with several readers can't be copied.
        """
        for name in [name for name in produced if name not in self._readers]:
            del produced[name]
        if any(loan.in_use for loan in self._recent_loans):
            _separate(produced, set(produced))  # they contain parts of an input
        self._recent_loans.clear()
        shared = shared_between(produced) if len(produced) > 1 else set()
        for name in _separate(produced, shared):
            if isinstance(produced[name], Iterator):
                raise self._shared_iterator(name, produced[name])
        while produced:
            self._hold(next(iter(produced)), produced, are_kept)

    def lend(
        self, call: Call, last_attempt: bool = True, absent: Collection[str] = ()
    ) -> dict[str, Any]:
        """Return the values that a call reads, by name, without those that do not exist.

        Raises:
            ChangedFileError: An earlier reader changed a file of a value.
            UncopyableValueError: A value from the store can't be copied.
        """
        names = [name for name in call.reads if name not in absent]
        self._load_missing(names)
        return {name: self._lend(name, call, last_attempt) for name in names}

    def holds(self, name: str) -> bool:
        """Return whether a value is in memory."""
        return name in self._held

    @property
    def has_lent(self) -> bool:
        """True if the current step got values that it can't change."""
        return any(loan.in_use for loan in self._recent_loans)

    def drop(self, call: Call) -> None:
        """Forget the values that no call after this one reads."""
        for name in call.reads:
            if self._readers[name][-1] is call:
                self._held.pop(name, None)

    def _load_missing(self, names: Iterable[str]) -> None:
        loaded = self._load([name for name in names if name not in self._held])
        while loaded:
            self._hold(next(iter(loaded)), loaded)

    def _hold(self, name: str, values: dict[str, Any], is_kept: bool = False) -> None:
        """Move a value from a dict, which must have the only reference to it."""
        self._held[name] = held = _Held(values.pop(name))
        if is_scalar(held.value):
            return
        several, held.kept = self._has_several_readers(name), is_kept or held.is_kept()
        if not several and not held.kept:
            return
        try:
            held.snapshot = Snapshot(held.value)
        except UncopyableError as error:
            if several and not self._is_stored(name):
                raise self._uncopyable(name, held.value, error) from error
            return
        if self._kind == "asset":  # a path in the context is a name
            held.files = {path: file_state(path) for path in held.snapshot.paths}

    def _lend(self, name: str, call: Call, last_attempt: bool) -> Any:
        held = self._held[name]
        if is_scalar(held.value):
            return held.value
        if held.is_changed():
            held = self._reload(name)
        may_repeat = call.repeats and not last_attempt and not self._is_stored(name)
        is_last = self._readers[name][-1] is call and not may_repeat
        if is_last:
            del self._held[name]
            if held.is_lent() and held.snapshot is not None:
                return held.snapshot.copy()
            if not held.kept:
                held.snapshot = None  # it refers to the buffers of the value
                if not held.is_kept():
                    return held.value
        try:
            value, loan = held.copy()
        except UncopyableError as error:
            if not is_last and not self._is_stored(name):
                raise self._uncopyable(name, held.value, error) from error
            self._held.pop(name, None)  # the next reader loads it again
            return held.value
        self._recent_loans.append(loan)
        return value

    def _reload(self, name: str) -> _Held:
        if not self._is_stored(name):
            raise ChangedFileError(
                what=f"A file of {self._kind} {name!r} was changed after it was produced",
                why="an earlier reader in this job wrote to it, and the next reader would get the "
                f"changed file: {', '.join(map(str, self._held[name].files))}",
                fix="let the step that changes it write to a new path and return that",
            )
        del self._held[name]
        self._load_missing([name])
        return self._held[name]

    def _has_several_readers(self, name: str) -> bool:
        readers = self._readers[name]
        return len(readers) > 1 or (readers[0].repeats and not self._is_stored(name))

    def _shared_iterator(self, name: str, value: Any) -> UncopyableValueError:
        return UncopyableValueError(
            what=f"The value of {self._kind} {name!r} is also a part of another output",
            why=f"a {type(value).__qualname__} can be read only once, so one of the readers would "
            "miss items",
            fix="return a list of its items",
        )

    def _uncopyable(self, name: str, value: Any, error: UncopyableError) -> UncopyableValueError:
        readers = [
            f"{call.reader}{' (again in each retry)' if call.repeats else ''}"
            for call in self._readers[name]
        ]
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        once = isinstance(value, Iterator)
        return UncopyableValueError(
            what=f"The value of {self._kind} {name!r} can't be copied for each of its readers",
            why=f"{' and '.join(readers)} read it, and "
            + (f"{kind} can be read only once" if once else f"{kind} has no copies: {error}"),
            fix=f"return {'a list of its items' if once else 'data instead of it'}, or let a "
            "single step without retries read it",
        )


def _separate(values: dict[str, Any], names: Collection[str]) -> list[str]:
    """Replace values by copies that share nothing with other values.

    Returns:
        The names of values without copies. Objects that belong to this process, such as a lock,
        can only be shared.
    """
    without_copies = []
    for name in names:
        try:
            values[name] = WritableSnapshot(values[name]).copy()
        except UncopyableError:
            without_copies.append(name)
    return without_copies
