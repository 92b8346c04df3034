"""Instances that a service keeps for the next job of their type, and what they save in a run.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/train-warm-pools.html: a kept instance is
billed while it waits, serves only jobs of its own type and number of instances, and excludes spot
capacity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from flowyml_aws.core.amounts import counted, usd
from flowyml_aws.planning.advice.document import Option
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.planning.services import service_traits

__all__ = ["KEEP_ALIVE_S", "warm_pool_option"]

KEEP_ALIVE_S = 300
"""Assumed time that an instance is kept: the next job is submitted within it."""


def warm_pool_option(plan: ExecutionPlan) -> Iterator[Option]:
    """Yield what kept instances save, if a service of the plan can keep them."""
    settings = {
        setting
        for job in plan.jobs
        if (setting := service_traits(job.backend).keep_alive_setting) is not None
    }
    for setting in sorted(settings):
        if any(job.expected_s is None or job.price_usd_hour is None for job in plan.jobs):
            basis = "unknown, because the time or the price of a job is not known"
            yield Option(name="warm pool", saving_usd=None, basis=basis)
            return
        pools = _Pools()
        for job, start_s in _starts(plan):
            pools.run(job, start_s)
        saving = pools.saved_usd - pools.waiting_usd
        basis = (
            f"{setting}={KEEP_ALIVE_S} lets {counted(pools.reused, 'job')} start on a kept "
            f"instance, which saves at most {usd(pools.saved_usd)}; kept instances that wait cost "
            f"{usd(pools.waiting_usd)}"
        )
        yield Option(name="warm pool", saving_usd=saving, basis=basis)


@dataclass(slots=True)
class _Pools:
    """Instances that are kept after their jobs.

    Attributes:
        kept: Type with the number of nodes, price and end of the job of the instances that wait.
        reused: Number of jobs that start on a kept instance.
        saved_usd: Cost of the starts that these jobs do not need.
        wait_usd: Cost of the waits before these jobs.
    """

    kept: list[tuple[str, float, float]] = field(default_factory=list)
    reused: int = 0
    saved_usd: float = 0.0
    wait_usd: float = 0.0

    def run(self, job: PlannedJob, start_s: float) -> None:
        """Run a job on kept instances of its type and number, or on new ones, in order of time."""
        traits = service_traits(job.backend)
        if traits.keep_alive_setting is None or job.capacity == "spot":
            return
        assert job.machines is not None
        assert job.price_usd_hour is not None and job.expected_s is not None
        waiting = [
            each
            for each in self.kept
            if each[0] == job.machines and 0 <= start_s - each[2] <= KEEP_ALIVE_S
        ]
        if waiting:
            used = max(waiting, key=lambda each: each[2])
            self.kept.remove(used)
            self.reused += 1
            self.saved_usd += job.price_usd_hour * traits.startup_s / 3600
            self.wait_usd += job.price_usd_hour * (start_s - used[2]) / 3600
        self.kept.append((job.machines, job.price_usd_hour, start_s + job.expected_s))

    @property
    def waiting_usd(self) -> float:
        """Cost of all waits, also those after the last job."""
        return self.wait_usd + sum(price * KEEP_ALIVE_S / 3600 for _, price, _ in self.kept)


def _starts(plan: ExecutionPlan) -> list[tuple[PlannedJob, float]]:
    """Return the jobs with their expected starts in seconds, in order of time."""
    ends: dict[str, float] = {}
    starts: list[tuple[PlannedJob, float]] = []
    for job in plan.jobs:
        start_s = max((ends[parent] for parent in job.after), default=0.0)
        ends[job.name] = start_s + (job.expected_s or 0.0)
        starts.append((job, start_s))
    return sorted(starts, key=lambda pair: pair[1])
