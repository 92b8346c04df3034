"""Exit codes of the runner, read by retry rules and diagnosis."""

from __future__ import annotations

from collections.abc import Mapping

from flowyml_aws.runtime.causes import Cause

__all__ = [
    "BAD_INPUT",
    "INTERRUPTED",
    "MOVES",
    "NODE_LOST",
    "SECOND_COPY",
    "STEP_FAILED",
    "STORE_OUTAGE",
    "SUCCEEDED",
]

SUCCEEDED = 0
STEP_FAILED = 10
"""A step failed; result.json contains the failure."""
BAD_INPUT = 11
"""The job failed, but no step did: a damaged spec, payload or asset, a different Python version,
code that can't be imported, a call that the store denied or lost. The log contains the reason, and
so does result.json if it could be written."""
SECOND_COPY = 17
"""Another copy of the job holds the claim (`claim`): this one ended before its first step, without
a result. 17 is EEXIST."""
INTERRUPTED = 143
"""The job received SIGTERM (128 + 15), for example in a spot interruption. It ended without a
result and can run again: Batch and SageMaker's driver start it again."""
STORE_OUTAGE = 144
"""The store did not answer for too long. Otherwise the same as INTERRUPTED, with which it shares
the first two digits, because one retry rule matches both (`aws/batch/retry.py`)."""
NODE_LOST = 145
"""Another node of the job ended or did not start, which Batch does not repeat: only the exit of the
main node counts. Otherwise the same as INTERRUPTED."""

MOVES: Mapping[int, Cause] = {
    18: Cause.OUT_OF_MEMORY,
    19: Cause.GPU_OUT_OF_MEMORY,
    20: Cause.DISK_FULL,
}
"""A resource is used up, and the plan has a larger machine: the job ended without a result, and the
driver of the run moves it there."""
