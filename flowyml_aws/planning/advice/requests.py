"""The smallest adequate request of a step or a job, from the evidence of earlier runs.

| amount | request |
|---|---|
| vCPUs | the highest processor time per second, rounded up |
| memory | the highest memory plus `MEMORY_MARGIN`, rounded up to 256 MiB |
| GPUs | the number that any run used, at most as many as before |
| memory per GPU | if the request has any: the highest plus `MEMORY_MARGIN`, at most as before |
| disk | as before: its use is not measured |

An amount to which a job had to grow is a lower bound, and so is a declared minimum.
"""

from __future__ import annotations

import math
from dataclasses import replace

from flowyml_aws.core.gpus import parse_gpu_name
from flowyml_aws.planning.advice.evidence import Evidence
from flowyml_aws.planning.needs import Needs

__all__ = ["MEMORY_MARGIN", "NOTHING", "advised_needs"]

MEMORY_MARGIN = 0.2
"""Memory above the highest peak, as a part of it. Data differ from run to run, and measurements are
a second apart: a shorter peak of a child process is not seen."""

NOTHING = Needs(vcpus=1, memory_mib=512)
"""Lowest advice: Python, boto3 and the runner take about 200 MiB."""

_CPU_TOLERANCE = 0.1  # cores; the clocks of a measurement differ by a few milliseconds
_MEMORY_STEP_MIB = 256  # so that small differences between runs do not change a request


def advised_needs(
    needs: Needs, evidence: Evidence, minimum: Needs = NOTHING, margin: float = MEMORY_MARGIN
) -> Needs:
    """Return the smallest adequate needs, with the labels and the GPU model of the current ones.

    Args:
        needs: Current needs.
        evidence: Evidence for all steps of the job.
        minimum: Amounts that are never undercut.
        margin: Memory above the highest peak, as a part of it.
    """
    gpus = needs.gpu_count
    if evidence.gpus is not None:
        gpus = min(gpus, max(evidence.gpus, minimum.gpu_count))
    return replace(
        needs,
        vcpus=max(
            NOTHING.vcpus, minimum.vcpus, math.ceil(evidence.cpu_peak_cores - _CPU_TOLERANCE)
        ),
        memory_mib=max(
            NOTHING.memory_mib,
            minimum.memory_mib,
            _rounded_up(evidence.memory_mib * (1 + margin)),
            evidence.grown_memory_mib,
        ),
        storage_gib=max(needs.storage_gib, minimum.storage_gib, evidence.grown_storage_gib),
        gpu_model=needs.gpu_model if gpus else None,
        gpu_count=gpus,
        gpu_memory_gb=_gpu_memory_gb(needs, evidence, minimum) if gpus else 0,
    )


def _gpu_memory_gb(needs: Needs, evidence: Evidence, minimum: Needs) -> int:
    assert needs.gpu_model is not None
    variants_gb = parse_gpu_name(needs.gpu_model).model.memory_gb
    peak_gb = math.ceil(evidence.gpu_memory_mib / 1024)
    with_margin_gb = math.ceil(evidence.gpu_memory_mib * (1 + MEMORY_MARGIN) / 1024)
    gb = needs.gpu_memory_gb
    if gb and peak_gb:
        gb = max(peak_gb, min(gb, with_margin_gb))
    elif peak_gb > variants_gb[0]:
        gb = peak_gb
    # The GPU may have been another model when it was measured.
    return max(minimum.gpu_memory_gb, min(max(gb, evidence.grown_gpu_memory_gb), variants_gb[-1]))


def _rounded_up(mib: float) -> int:
    return math.ceil(mib / _MEMORY_STEP_MIB) * _MEMORY_STEP_MIB
