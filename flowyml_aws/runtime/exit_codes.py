"""How the runner's process ends; retry rules and diagnosis read these."""

from __future__ import annotations

__all__ = ["BAD_INPUT", "INTERRUPTED", "STEP_FAILED", "SUCCEEDED"]

SUCCEEDED = 0
STEP_FAILED = 10
"""A step of the user failed; result.json says how."""
BAD_INPUT = 11
"""The job failed and no step is to blame: a damaged spec, payload or asset, another Python, code
that does not import, a store that denied or lost a call. Its log says which, and result.json too
where it could be written."""
INTERRUPTED = 143
"""SIGTERM (128 + 15): a spot host went, or somebody stopped the job. There is no result."""
