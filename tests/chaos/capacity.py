"""Spot capacity of the emulated account, and its shortages of capacity."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from flowyml_aws.testing import Emulator
from flowyml_aws.testing.account import PREFIX, QUEUES
from tests.chaos.schedule import Schedule, Shortage
from tests.chaos.waits import CAPACITY_WAIT_S, SPEED
from tests.support.queues import make_queue

__all__ = ["ON_DEMAND_QUEUE", "SPOT_QUEUE", "Shortages", "add_spot_queue", "spot_settings"]

ON_DEMAND_QUEUE = f"{PREFIX}-cpu"
SPOT_QUEUE = f"{PREFIX}-chaos-spot"
_TRAINING_TYPES = ["ml.m5.large", "ml.m5.xlarge", "ml.m5.2xlarge"]
_NEVER = float("inf")


def add_spot_queue(aws: Emulator) -> None:
    """Add a queue with the same types as the one on demand, on spot capacity, to the account."""
    resources = {"type": "SPOT", "allocationStrategy": "SPOT_CAPACITY_OPTIMIZED"}
    make_queue(aws.client("batch"), SPOT_QUEUE, *QUEUES[ON_DEMAND_QUEUE], **resources)


def spot_settings(backend: str) -> Mapping[str, str]:
    """Return the settings of clients whose jobs prefer spot capacity to capacity on demand."""
    settings = {"FLOWYML_AWS_CAPACITY_WAIT_S": f"{CAPACITY_WAIT_S:g}"}
    if backend == "batch":
        return {**settings, "FLOWYML_AWS_QUEUES": f"{SPOT_QUEUE},{ON_DEMAND_QUEUE}"}
    target = {"name": "training", "kind": "sagemaker", "instance_types": _TRAINING_TYPES}
    spot = {**target, "name": "spot-training", "capacity": "spot"}
    return {**settings, "FLOWYML_AWS_TARGETS": json.dumps([spot, target])}


class Shortages:
    """Begins and ends the shortages of a schedule.

    Attributes:
        begun: Number of shortages that have begun.
    """

    def __init__(self, schedule: Schedule, aws: Emulator) -> None:
        self.begun = 0
        self._aws = aws
        self._is_batch = schedule.backend == "batch"
        self._waiting = list(schedule.shortages)
        self._ends: dict[Shortage, float] = {}

    def update(self, executions: int) -> None:
        """Begin the shortages that are due after a number of executions, and end others."""
        now = time.monotonic()
        for shortage in [each for each in self._waiting if each.after_steps <= executions]:
            self._waiting.remove(shortage)
            seconds = _NEVER if shortage.seconds is None else shortage.seconds / SPEED
            self._ends[shortage] = now + seconds
            self._set(shortage, is_withheld=True)
            self.begun += 1
        for shortage in [each for each, end in self._ends.items() if end <= now]:
            del self._ends[shortage]
            self._set(shortage, is_withheld=False)

    def end(self) -> None:
        """End all shortages."""
        self._waiting.clear()
        for shortage in self._ends:
            self._set(shortage, is_withheld=False)
        self._ends.clear()

    def _set(self, shortage: Shortage, *, is_withheld: bool) -> None:
        faults, is_spot = self._aws.faults, shortage.capacity == "spot"
        if not self._is_batch:
            assert is_spot  # on demand, training jobs fail instead
            faults.withhold_spot_training(is_withheld)
            return
        queue = SPOT_QUEUE if is_spot else ON_DEMAND_QUEUE
        if is_withheld:
            faults.withhold(queue)
        else:
            faults.withhold(queue, None)
