"""How the runner's process ends; retry rules and diagnosis read these."""

from __future__ import annotations

__all__ = ["BAD_INPUT", "INTERRUPTED", "STEP_FAILED", "SUCCEEDED"]

SUCCEEDED = 0
STEP_FAILED = 10
"""A step of the user failed; result.json says how."""
BAD_INPUT = 11
"""The job could not start: a damaged spec, payload or asset, another Python, a denied store."""
INTERRUPTED = 143
"""SIGTERM (128 + 15): a spot host went, or somebody stopped the job. There is no result."""
