"""The command line of a process, as `ps` shows it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["show_command"]


def show_command(command: Sequence[str]) -> None:
    """Show a command as the one of this process, if there is room and the system permits it.

    A fork has the command line of its parent, but jobs are found by theirs. Linux reads it from the
    memory of the process (`get_mm_cmdline` in `fs/proc/base.c`): if the arguments do not end with a
    zero byte, up to the first one in the memory of the environment, which follows. So this
    overwrites the environment that the process was started with, which must not be in use any more,
    and arguments are separated by spaces.

    Args:
        command: Absolute path of the program, and its arguments.
    """
    # Fields 48 to 51 in proc_pid_stat(5), after a name that may contain spaces.
    fields = Path("/proc/self/stat").read_text("utf-8").rpartition(")")[2].split()
    arguments, arguments_end, environment, environment_end = map(int, fields[45:49])
    # More slashes before a path do not change it.
    shown = " ".join(command).encode().rjust(arguments_end - arguments, b"/") + b"\0"
    if environment != arguments_end or len(shown) > environment_end - arguments:
        return
    with suppress(OSError), Path("/proc/self/mem").open("r+b", buffering=0) as memory:
        memory.seek(arguments)
        memory.write(shown)
