"""The GPUs of jobs that run as processes: a program `nvidia-smi` that lists them, and no more."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from string import Template

__all__ = ["gpu_environment", "gpu_programs"]

_VISIBLE = "NVIDIA_VISIBLE_DEVICES"
# Without the variable, the container runtime of NVIDIA adds no device to a container.
_PROGRAM = Template("""#!/bin/sh
case "$$NVIDIA_VISIBLE_DEVICES" in
    "" | none | void) echo "No devices were found"; exit 6 ;;
esac
for number in $numbers; do
    echo "GPU $$number: emulated GPU (UUID: GPU-emulated-$$number)"
done
""")


@contextmanager
def gpu_programs(gpus: int, folder: Path) -> Iterator[Path]:
    """Create the folder with `nvidia-smi`, and yield it.

    Args:
        gpus: Number of GPUs.
        folder: Working directory of the job, next to which it is created.
    """
    programs = folder.with_name(f"{folder.name}.gpus")
    programs.mkdir()
    try:
        program = programs / "nvidia-smi"
        numbers = " ".join(map(str, range(gpus)))
        program.write_text(_PROGRAM.substitute(numbers=numbers), "ascii")
        program.chmod(0o755)
        yield programs
    finally:
        shutil.rmtree(programs, ignore_errors=True)


def gpu_environment(environment: Mapping[str, str], programs: Path) -> dict[str, str]:
    """Return the environment of a job with GPUs.

    ECS names the GPUs of a Batch job in a variable. SageMaker does not document that it does.

    Args:
        environment: Environment of the job.
        programs: Folder with `nvidia-smi`.
    """
    path = os.pathsep.join(filter(None, [str(programs), environment.get("PATH", "")]))
    by_ecs = {_VISIBLE: "all"} if "AWS_BATCH_JOB_ID" in environment else {}
    return {**by_ecs, **environment, "PATH": path}
