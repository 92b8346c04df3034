"""Threads of OpenBLAS, which starts them when it is loaded."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ONE_THREAD", "OpenBlas", "loaded_openblas", "threads_at_load"]

ONE_THREAD: Mapping[str, str] = {"OPENBLAS_NUM_THREADS": "1"}
"""Variables with which it is loaded without threads."""

_VARIABLES = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")
_PREFIXES = ("scipy_openblas", "openblas")
_SUFFIXES = ("64_", "")
_POSIX_THREADS = 1


@dataclass(frozen=True, slots=True)
class OpenBlas:
    """A loaded OpenBLAS with POSIX threads. Its fork has one thread until `use_threads`.

    Attributes:
        set_threads: Sets the number of threads.
        processors: Number of CPUs that it may use.
    """

    set_threads: Any
    processors: int

    @classmethod
    def load(cls, path: str) -> OpenBlas:
        """Return the library at a path, which this process has loaded already.

        Raises:
            OSError: It has no known functions, or threads of another kind (OpenMP).
        """
        library = ctypes.CDLL(path)
        for prefix in _PREFIXES:
            for suffix in _SUFFIXES:
                functions = [
                    getattr(library, f"{prefix}_{name}{suffix}", None)
                    for name in ("get_parallel", "set_num_threads", "get_num_procs")
                ]
                if None in functions:
                    continue
                parallel, set_threads, processors = functions
                if parallel() == _POSIX_THREADS:  # type: ignore[misc]
                    return cls(set_threads, processors())  # type: ignore[misc]
        raise OSError(f"Unknown kind of OpenBLAS: {path}")

    def use_threads(self, environment: Mapping[str, str]) -> None:
        """Use as many threads as if it had been loaded with an environment."""
        if (count := threads_at_load(environment, self.processors)) > 1:
            self.set_threads(count)


def loaded_openblas(maps: str) -> list[str]:
    """Return the paths of all OpenBLAS libraries in the text of a `/proc/self/maps`."""
    paths = (line[line.index("/") :] for line in maps.splitlines() if "/" in line)
    return sorted({path for path in paths if "openblas" in path.rpartition("/")[2]})


def threads_at_load(environment: Mapping[str, str], processors: int) -> int:
    """Return the number of threads that OpenBLAS uses if it is loaded with an environment.

    Source: `blas_get_cpu_number` in OpenBLAS's `driver/others/memory.c`.

    Args:
        environment: Environment variables.
        processors: Number of CPUs that it may use.
    """
    for name in _VARIABLES:
        digits = environment.get(name, "").strip()
        if digits.isdecimal() and int(digits) > 0:
            return min(int(digits), processors)
    return processors
