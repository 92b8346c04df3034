"""Warm starts of the jobs and trial loads of a client, such as a test suite."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from flowyml_aws.packaging.starting import ProgramProcess, ProgramStart, start_python
from flowyml_aws.warm.starter import WarmProcess, WarmStarter, read_at_start

__all__ = ["WarmPrograms"]

# Used by every job on this machine, but imported only once it knows its store.
_IMPORTED = ("flowyml_aws.local.directory",)


class WarmPrograms:
    """Starts a program in a fork if it was started before with the same interpreter settings.

    Pass it to `starting_with`.

    Args:
        imports: More modules to import before the forks.
    """

    def __init__(self, imports: Sequence[str] = ()) -> None:
        self._imports = (*_IMPORTED, *imports)
        self._lock = Lock()
        self._settings: set[object] = set()
        self._starters: dict[object, WarmStarter] = {}

    def __call__(self, start: ProgramStart) -> ProgramProcess:
        """Start a program.

        Raises:
            OSError: The process can't be started.
        """
        return self.start_warm(start) if self.repeats(start) else start_python(start)

    def repeats(self, start: ProgramStart) -> bool:
        """Count a start. Return whether it has the program and the settings of an earlier one."""
        settings = _settings_of(start)
        with self._lock:
            if settings in self._settings or settings in self._starters:
                return True
            self._settings.add(settings)
            return False

    def start_warm(self, start: ProgramStart) -> WarmProcess:
        """Start a program in a fork, also if it was not started before.

        Raises:
            OSError: The process can't be started.
        """
        settings = _settings_of(start)
        with self._lock:
            if settings not in self._starters:
                self._starters[settings] = WarmStarter(start.env, start.module, self._imports)
            starter = self._starters[settings]
        return starter.start(
            start.arguments,
            start.env,
            start.cwd,
            stdin=start.stdin,
            stdout=start.stdout,
            stderr=start.stderr,
        )

    def stop(self) -> None:
        """Stop the processes that fork; running programs continue."""
        for starter in self._starters.values():
            starter.stop()


def _settings_of(start: ProgramStart) -> object:
    # The interpreter reads some variables when it starts, so a fork must agree with them.
    return start.module, frozenset(read_at_start(start.env).items())
