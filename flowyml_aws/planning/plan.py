"""The whole run decided before anything starts, as a document to read, compare and submit."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.targets import PriceBasis

__all__ = [
    "Estimate",
    "ExecutionPlan",
    "InstanceOffer",
    "PlannedJob",
    "ReusedStep",
    "Variant",
]


class InstanceOffer(Document):
    """An instance type that serves a job, and its price for the target's capacity."""

    instance_type: str
    price_usd_hour: float | None
    price_basis: PriceBasis = "on-demand"


class PlannedJob(Document):
    """One job: a group of steps, or a step on its own.

    Attributes:
        name: Unique in the plan; safe in paths.
        group: The execution group that the user wrote, or None.
        steps: In running order.
        after: Jobs it waits for, transitively reduced.
        needs: What it asks of the machine.
        backend: `local`, `batch` or `sagemaker`.
        target: Where it goes: a queue, a service, or `local`.
        capacity: What the target has.
        offers: Instance types, the chosen one first, then fallbacks; empty on this machine.
        reads: Assets from outside the job, and the job that produces each (None: the run's input).
        produces: Assets of each step.
        stored: Those of them whose values are stored.
        volume_gib: Of the EBS volume to ask for; None where there is none, or the place decides.
        timeout_s: Limit for an attempt, where every step has one: their sum with retries.
        expected_s: Seconds from its start, with the instance's, to its end; None where unknown.
        expected_cost_usd: Of that time, None where it or the price is unknown.
        notes: What the user should know about this job.
    """

    name: str
    group: str | None
    steps: tuple[str, ...]
    after: tuple[str, ...]
    needs: Needs
    backend: str
    target: str
    capacity: Literal["on-demand", "spot"] = "on-demand"
    offers: tuple[InstanceOffer, ...]
    reads: dict[str, str | None]
    produces: dict[str, tuple[str, ...]]
    stored: tuple[str, ...]
    volume_gib: int | None = None
    timeout_s: int | None
    expected_s: float | None = None
    expected_cost_usd: float | None = None
    notes: tuple[str, ...]

    @property
    def instance_type(self) -> str | None:
        """The chosen instance type, or None on this machine."""
        return self.offers[0].instance_type if self.offers else None

    @property
    def price_usd_hour(self) -> float | None:
        """Price of the chosen instance type, or None where it is unknown or there is none."""
        return self.offers[0].price_usd_hour if self.offers else None


class ReusedStep(Document):
    """A step that need not run.

    Attributes:
        produces: Its assets.
        run_id: Which run made them; None where nothing that runs needs them.
        assets: Those of them that are stored.
    """

    produces: tuple[str, ...]
    run_id: str | None = None
    assets: dict[str, ArtifactRef] = Field(default_factory=dict)


class Variant(Document):
    """A way to cut the steps into jobs, and what a run would take with it.

    Attributes:
        name: `as grouped`, `each step alone` or `cheapest split`.
        jobs: How many.
        cost_usd: None on this machine.
        wall_s: Seconds from the first job's start to the last one's end.
        cuts: Of each group that is cut otherwise than planned, the steps of its jobs.
    """

    name: str
    jobs: int
    cost_usd: float | None
    wall_s: float
    cuts: dict[str, tuple[tuple[str, ...], ...]] = Field(default_factory=dict)


class Estimate(Document):
    """What a run should take, by the durations of earlier ones.

    Attributes:
        runs: How many earlier runs it rests on.
        startup_s: Assumed time from a job's turn to its first step, paid for; the longest.
        cost_usd: None where a duration or a price is unknown, and on this machine.
        wall_s: Seconds until all is done; None where a duration is unknown.
        unknown: Steps that have never run.
        variants: As grouped, and other ways to cut the steps; empty where something is unknown.
    """

    runs: int
    startup_s: int
    cost_usd: float | None
    wall_s: float | None
    unknown: tuple[str, ...]
    variants: tuple[Variant, ...]


class ExecutionPlan(Document):
    """Every job of a run, in an order in which they can run.

    Attributes:
        backend: `local`, `batch`, `sagemaker`, or those of its jobs, as `batch+sagemaker`.
        region: Of the prices, or None on this machine.
        prices_of: Date of the prices (ISO), or None.
        image: URI of the container image of its jobs; None on this machine, or where none is set.
        reused: Steps that are in no job, because earlier runs made what they would make.
        asset_bytes: Size of stored assets, as the latest run that made them left them.
        estimate: None where no earlier run tells anything.
        notes: What concerns no single job.
    """

    version: Literal[1] = 1
    pipeline: str
    backend: str
    region: str | None
    prices_of: str | None
    image: str | None = None
    jobs: tuple[PlannedJob, ...]
    reused: dict[str, ReusedStep] = Field(default_factory=dict)
    asset_bytes: dict[str, int] = Field(default_factory=dict)
    estimate: Estimate | None = None
    notes: tuple[str, ...] = ()

    def on(self, backend: str) -> ExecutionPlan:
        """The plan with the jobs of one backend alone; what they wait for elsewhere is done."""
        here = {job.name for job in self.jobs if job.backend == backend}
        jobs = (job for job in self.jobs if job.name in here)
        left = tuple(
            job.model_copy(update={"after": tuple(p for p in job.after if p in here)})
            for job in jobs
        )
        return self.model_copy(update={"backend": backend, "jobs": left})

    @property
    def dearest_usd_hour(self) -> float | None:
        """Price per hour with every job running at once; None where a price is unknown."""
        prices = [job.price_usd_hour for job in self.jobs]
        return None if None in prices else sum(price for price in prices if price is not None)
