"""A faster clock for each Python that has this folder on its path: it imports this at its start.

That is the only way into a job on this machine, which is a fresh process.
"""

from __future__ import annotations

from flowyml_aws.core.clock import run_faster
from tests.chaos.waits import SPEED

__all__: list[str] = []

run_faster(SPEED)
