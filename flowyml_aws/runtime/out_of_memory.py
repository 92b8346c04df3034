"""Detection of failures because the memory of the job or of a GPU is used up.

The kernel may kill a child of the job and spare the job itself. The step then sees only a worker
that died or a tool that failed, so the kernel's own count of killed processes decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.full_disk import chain

__all__ = ["memory_advice", "oom_kills", "out_of_memory"]

_CGROUPS = Path("/sys/fs/cgroup")
# Version 2 and version 1 of control groups, as a container sees its own:
# https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/memory.html
_KILL_COUNTS = ("memory.events", "memory/memory.oom_control")
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
_NO_LIMIT_BYTES = 1 << 60  # version 1 reports a number that no machine has
_GIB = 2**30

# By class name, as the libraries are not imported here. PyTorch and CuPy: OutOfMemoryError.
_GPU_CLASSES = ("torch", "cupy")
_GPU_TEXTS = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "cudaErrorMemoryAllocation",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "RESOURCE_EXHAUSTED: Out of memory",  # JAX
    "OOM when allocating tensor",  # TensorFlow
)


def oom_kills(cgroups: Path = _CGROUPS) -> int | None:
    """Return how many processes of this container the kernel has killed for lack of memory.

    None if the kernel does not say.
    """
    for name in _KILL_COUNTS:
        for line in _lines(cgroups / name):
            key, _, value = line.partition(" ")
            if key == "oom_kill" and value.isdigit():
                return int(value)
    return None


def out_of_memory(
    error: BaseException, kills_before: int | None, kills_after: int | None
) -> Cause | None:
    """Return whether memory was used up, of the job or of a GPU; None if an error reports neither.

    Args:
        error: Exception of the step.
        kills_before: `oom_kills` when the step began.
        kills_after: `oom_kills` now.
    """
    for part in chain(error):
        texts = [text for text in part.args if isinstance(text, str)]
        is_class = type(part).__name__ == "OutOfMemoryError" and type(part).__module__.startswith(
            _GPU_CLASSES
        )
        if is_class or any(sign in text for sign in _GPU_TEXTS for text in texts):
            return Cause.GPU_OUT_OF_MEMORY
        if isinstance(part, MemoryError):
            return Cause.OUT_OF_MEMORY
    if kills_before is not None and kills_after is not None and kills_after > kills_before:
        return Cause.OUT_OF_MEMORY
    return None


def memory_advice(cause: Cause, cgroups: Path = _CGROUPS) -> str:
    """Return what to do about memory that was used up."""
    if cause is Cause.GPU_OUT_OF_MEMORY:
        return (
            "the memory of the GPU is used up: request a GPU with more memory "
            '(`gpu=GPUConfig(..., memory="40Gi")`), or use smaller batches'
        )
    limit = _limit_bytes(cgroups)
    known = "" if limit is None else f", {limit / _GIB:.1f} GiB,"
    return (
        f"the memory of the job{known} is used up: request more `memory` in the resources of the "
        "step, or use less"
    )


def _limit_bytes(cgroups: Path) -> int | None:
    for name in _LIMITS:
        for line in _lines(cgroups / name):
            if line.isdigit() and int(line) < _NO_LIMIT_BYTES:
                return int(line)
    return None


def _lines(file: Path) -> Iterator[str]:
    try:
        yield from file.read_text().splitlines()
    except OSError:
        return
