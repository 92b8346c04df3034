"""The user of an image, for jobs that run as processes on this machine.

As a program, it runs a command as this user: `image_user.py UID COMMAND`. It keeps one capability
of root, so that the command can read this machine's Python and packages wherever they are.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["can_switch_user", "command_as", "find_program"]

# linux/capability.h and linux/prctl.h
_DAC_READ_SEARCH, _SETGID, _SETUID = 2, 6, 7
_PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 8, 47, 2
_CAPABILITY_VERSION_3 = 0x20080522


def can_switch_user() -> bool:
    """Return whether this process can run commands as another user that can read all files."""
    try:
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:  # not on Linux
        return False
    fields = dict(line.split(":", 1) for line in status.splitlines())
    effective = int(fields["CapEff"], 16)
    return all(effective >> number & 1 for number in (_DAC_READ_SEARCH, _SETGID, _SETUID))


def command_as(uid: int, program: str, arguments: Sequence[str]) -> list[str]:
    """Return a command that runs a program as a user, whose group has the same id."""
    # -I: the folder of this file is not on the path.
    return [sys.executable, "-I", __file__, str(uid), program, *arguments]


def find_program(name: str) -> str:
    """Return the path of a program.

    Raises:
        FileNotFoundError: The program does not exist.
    """
    if (path := shutil.which(name)) is None:
        raise FileNotFoundError(f"No such file or directory: {name!r}")
    return path


def _switch(uid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    bit = 1 << _DAC_READ_SEARCH
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # Effective, permitted and inheritable, first of the lower and then of the upper 32 bits.
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    _check(libc.capset(header, sets))
    _check(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _DAC_READ_SEARCH, 0, 0))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    _switch(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - without a shell on purpose
