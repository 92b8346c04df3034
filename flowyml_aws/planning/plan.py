"""The plan of a whole run, decided before anything starts, as a document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.tables import InTable
from flowyml_aws.core.amounts import usd
from flowyml_aws.core.branches import Branch
from flowyml_aws.core.maps import (
    FailureRule,
    declared_name,
    item_name,
    part_name,
    required_items,
    short_names,
)
from flowyml_aws.core.sheets import Sheet, ShownAsSheets
from flowyml_aws.planning.cases import highest_sum
from flowyml_aws.planning.job_rows import job_names_text, job_rows, rows_by_job
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.placement import Origin
from flowyml_aws.planning.targets import PriceBasis
from flowyml_aws.runtime.causes import Cause

__all__ = [
    "EXTERNAL_INPUT",
    "Alternative",
    "Estimate",
    "ExecutionPlan",
    "InstanceOffer",
    "PlannedApproval",
    "PlannedJob",
    "PlannedMap",
    "ReusedStep",
    "Variant",
]

EXTERNAL_INPUT = "external input"
"""Origin of an asset that no step of the pipeline produces."""


class InstanceOffer(Document):
    """An instance type that fits a job, and its price for the target's capacity.

    Attributes:
        price_usd_hour: Price of all nodes of the job together; None if it is unknown.
        nodes: Number of instances of this type.
    """

    instance_type: str
    price_usd_hour: float | None
    price_basis: PriceBasis = "on-demand"
    nodes: int = 1

    @property
    def machines(self) -> str:
        """Instance type, with the number of nodes if there are several: `4 x g4dn.xlarge`."""
        return self.instance_type if self.nodes == 1 else f"{self.nodes} x {self.instance_type}"


class Alternative(Document):
    """A machine that a job moves to if it can't finish on the machine before.

    Attributes:
        needs: Requirements on the machine; larger than before if memory or disk was used up.
        target, capacity, offers, volume_gib, efa_interfaces, highest: Same as in `PlannedJob`.
        moves: Positions of the next alternatives in the plan, by cause.
    """

    needs: Needs
    target: str
    capacity: Literal["on-demand", "spot"]
    offers: tuple[InstanceOffer, ...]
    volume_gib: int | None = None
    efa_interfaces: int = 0
    highest: InstanceOffer | None = None
    moves: dict[Cause, int] = Field(default_factory=dict)

    @property
    def highest_price_usd_hour(self) -> float | None:
        """Price of the most expensive type that the service may start; None if unknown."""
        offer = self.highest or self.offers[0]
        return offer.price_usd_hour


class PlannedJob(Document):
    """One job: a group of steps, or a step on its own.

    Attributes:
        name: Name that is unique in the plan and safe in paths.
        group: Execution group that the user declared, or None.
        steps: Names of the steps, in running order.
        after: Jobs that this job waits for, transitively reduced.
        needs: Requirements on the machine.
        backend: `local`, `batch` or `sagemaker`.
        target: Name of the target: a queue, a service, or `local`.
        capacity: Capacity of the target.
        offers: Instance types: the selected one, then fallbacks; empty on this machine.
        reads: Assets from outside the job, with the job that produces each, or None for an
            external input and an asset of a reused step.
        produces: Assets of each step.
        stored: Assets of the job whose values are stored.
        volume_gib: Size of the EBS volume to request; None without one, or if Batch decides.
        efa_interfaces: Elastic Fabric Adapters to request for the container of each node.
        environment: Environment variables that the user gives the job. The service adds its own.
        secrets: References to secrets of AWS, by the environment variable that gets the value.
        timeout_s: Timeout of an attempt if every step has one: their sum with retries.
        highest: Most expensive type that the service may start for the job; None on this machine.
        expected_s: Expected seconds, startup included; None if unknown.
        expected_cost_usd: Expected cost of that time; None if the time or the price is unknown.
        declared: Needs that its steps declare, if earlier runs or this one have used them up.
        moves: Positions in the plan of the machines that the job moves to, by the cause that keeps
            it from finishing on this one.
        share_usd: Share of the run's cost limit, which ends an attempt (`cost_shares`), or None.
        moved: Number of moves so far.
        moved_alone: Number of these after which the jobs after it were not submitted again: it
            was repeated after it had succeeded.
        submission: Number of moves of this job and of its ancestors. The job is submitted once
            for each; earlier submissions do not count any more.
        mapped: Mapped steps whose items the job runs; empty for other jobs.
        origins: Origin of each amount in `needs`, by its name; empty unless a step has
            `resources="auto"`.
        ended_attempts: Number of the attempts before the latest repetition; 0 without any.
        repetitions: Number of times that this job, and the jobs whose assets it reads, are executed
            again because a value was damaged, by job. Their results before that do not count.
        held: Decisions of other jobs that can make this job unnecessary. It is submitted after they
            are made, if it is still necessary.
        cases: Cases without which no step of the job runs.
        approvals: Approvals that must be given before this job is submitted.
        branches: Branch of each step that is in one.
        notes: Notes for the user on this job.
    """

    name: str
    group: str | None
    steps: tuple[str, ...]
    after: tuple[str, ...]
    needs: Annotated[Needs, InTable("needs")]
    backend: str
    target: str
    capacity: Literal["on-demand", "spot"] = "on-demand"
    offers: Annotated[tuple[InstanceOffer, ...], InTable("offers")]
    reads: dict[str, str | None]
    produces: dict[str, tuple[str, ...]]
    stored: tuple[str, ...]
    volume_gib: int | None = None
    efa_interfaces: int = 0
    environment: Annotated[dict[str, str], InTable("environment")] = Field(default_factory=dict)
    secrets: Annotated[dict[str, str], InTable("secrets")] = Field(default_factory=dict)
    timeout_s: int | None
    highest: Annotated[InstanceOffer | None, InTable("highest")] = None
    expected_s: float | None = None
    expected_cost_usd: float | None = None
    declared: Needs | None = None
    moves: Annotated[dict[Cause, int], InTable("moves")] = Field(default_factory=dict)
    share_usd: float | None = None
    moved: int = 0
    moved_alone: int = 0
    submission: int = 0
    mapped: tuple[str, ...] = ()
    origins: dict[str, str] = Field(default_factory=dict)
    ended_attempts: int = 0
    repetitions: dict[str, int] = Field(default_factory=dict)
    held: tuple[str, ...] = ()
    cases: tuple[Branch, ...] = ()
    approvals: tuple[str, ...] = ()
    branches: dict[str, Branch] = Field(default_factory=dict)
    notes: Annotated[tuple[str, ...], InTable("notes")]

    def label_of(self, asset: str) -> str:
        """Return an asset that the job reads; of a decision, with the cases in which it runs."""
        cases = dict.fromkeys(b.case for b in self.branches.values() if b.decision == asset)
        return f"{asset} is {' or '.join(cases)}" if cases else asset

    @property
    def taken_text(self) -> str:
        """Decisions that this job depends on, with the cases in which it runs; empty for none."""
        cases: dict[str, list[str]] = {name: [] for name in self.held}
        for branch in self.branches.values():
            if branch.decision in cases and branch.case not in cases[branch.decision]:
                cases[branch.decision].append(branch.case)
        return ", ".join(
            f"{name} is {' or '.join(names)}" if names else name for name, names in cases.items()
        )

    @property
    def repetition(self) -> int:
        """Number of the repetition whose result counts; 0 for the first execution."""
        return self.repetitions.get(self.name, 0)

    @property
    def instance_type(self) -> str | None:
        """Selected instance type, or None on this machine."""
        return self.offers[0].instance_type if self.offers else None

    @property
    def price_usd_hour(self) -> float | None:
        """Price of all nodes on the selected type, or None if unknown or on this machine."""
        return self.offers[0].price_usd_hour if self.offers else None

    @property
    def machines(self) -> str | None:
        """Selected instance type with the number of nodes, or None on this machine."""
        return self.offers[0].machines if self.offers else None

    @property
    def highest_instance_type(self) -> str | None:
        """Most expensive type that the service may start, or None on this machine."""
        return self.highest.instance_type if self.highest else self.instance_type

    @property
    def highest_machines(self) -> str | None:
        """Most expensive type that the service may start, in the form of `machines`."""
        return self.highest.machines if self.highest else self.machines

    @property
    def highest_price_usd_hour(self) -> float | None:
        """Highest possible price of all nodes, or None if unknown or on this machine."""
        return self.highest.price_usd_hour if self.highest else self.price_usd_hour


class PlannedApproval(Document):
    """An approval of a plan: jobs after it start once someone has given it.

    Attributes:
        after: Jobs that must have succeeded before someone is asked.
        approvals: Approvals that must be given before.
        inputs: Assets that it is about; the first one is its value.
        timeout_s: Seconds for which the run waits for an answer.
        approver: Person or team who should answer; None for anyone.
        decision: Step of one of these jobs whose case `then` replaces the answer; None for none.
    """

    after: tuple[str, ...]
    approvals: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    timeout_s: float
    approver: str | None = None
    decision: str | None = None


class PlannedMap(Document):
    """A mapped step of a plan.

    Attributes:
        items: Number of items, also those that are reused from earlier runs; an assumption if
            there are parts.
        parts: Number of parts, if a step of the run produces the list; otherwise None.
        outputs: Outputs of the step; the asset of item 3 is `OUTPUT[3]`, and of
            part 3 of 8 `OUTPUT{3/8}`.
        items_per_job: Number of items that one job runs.
        reason: Reason for this number.
        on_item_failure: Consequence of a failed item.
        min_success: With `drop`, share of the items that must succeed.
    """

    items: int
    outputs: tuple[str, ...]
    items_per_job: int
    reason: str
    on_item_failure: FailureRule
    min_success: float
    parts: int | None = None

    def members(self, name: str) -> tuple[str, ...]:
        """Return the names of the items of the step or of an output of it, or those of the parts.

        Args:
            name: Name of the step or of the output.
        """
        if self.parts is None:
            return tuple(item_name(name, index) for index in range(self.items))
        return tuple(part_name(name, number, self.parts) for number in range(self.parts))

    @property
    def required(self) -> int:
        """Number of items that must not be dropped: at least one, if there are any."""
        if self.on_item_failure != "drop":
            return self.items
        return required_items(self.items, self.min_success)


class ReusedStep(Document):
    """A step that is in no job: an earlier run produced its assets, or it is skipped.

    Attributes:
        produces: Assets of the step.
        run_id: Run that produced the assets; None if this run does not need them, or skips the
            step because of a decision that is known before the run.
        assets: Refs of the assets that are stored.
        skipped: Assets that do not exist because the step is skipped, or was skipped in that run,
            with the cause.
        dropped: Assets that do not exist because an item of a map failed in that run, with the
            cause.
    """

    produces: tuple[str, ...]
    run_id: str | None = None
    assets: dict[str, ArtifactRef] = Field(default_factory=dict)
    skipped: dict[str, str] = Field(default_factory=dict)
    dropped: dict[str, str] = Field(default_factory=dict)

    @property
    def cause_of_skip(self) -> str | None:
        """Cause if the step is skipped in this run; None if it was skipped earlier, or is not."""
        return next(iter(self.skipped.values()), None) if self.run_id is None else None

    def origin_of(self, asset: str) -> str:
        """Return the origin of an asset of the step as jobs that read it see it."""
        if asset in self.skipped:
            return "skipped"
        return "dropped" if asset in self.dropped else f"from run {self.run_id}"


class Variant(Document):
    """A way to split the steps into jobs, with its cost and time.

    Attributes:
        name: `as grouped`, `each step alone` or `cheapest split`.
        jobs: Number of jobs.
        cost_usd: Cost of the run; None if a price is unknown.
        wall_s: Seconds from the start of the first job to the end of the last job.
        cuts: For each group that is split differently from the plan, the steps of its jobs.
    """

    name: str
    jobs: int
    cost_usd: float | None
    wall_s: float
    cuts: dict[str, tuple[tuple[str, ...], ...]] = Field(default_factory=dict)


class Estimate(Document):
    """The expected cost and time of a run, from the durations of earlier runs.

    Attributes:
        runs: Number of earlier runs that the estimate is based on.
        startup_s: Assumed seconds from the submission of a ready job to its first step, which are
            billed; the longest of all backends.
        cost_usd: Cost of the run; None on this machine, or if a duration or a price is unknown.
        wall_s: Seconds until all jobs are done; None if a duration is unknown.
        unknown: Steps that have never run.
        variants: The plan's grouping and other ways to split the steps; empty on this machine,
            or if a duration is unknown.
    """

    runs: int
    startup_s: int
    cost_usd: float | None
    wall_s: float | None
    unknown: tuple[str, ...]
    variants: tuple[Variant, ...]


class ExecutionPlan(Document, ShownAsSheets):
    """All jobs of a run, in an order in which they can run.

    Attributes:
        backend: `local`, `batch` or `sagemaker`, or several of them: `batch+sagemaker`.
        backend_origin: Source of the backend: an argument or option, the setting, or the default.
        region: Region of the prices, or None on this machine.
        prices_of: Date of the prices (ISO), or None.
        image: URI of the container image of the jobs; None on this machine, or if none is set.
        reused: Steps that are in no job: earlier runs produced their assets, or they are skipped.
        asset_bytes: Sizes of stored assets in the latest run that produced them.
        startable: Types that each target may start for a job of the plan.
        alternatives: Machines that jobs move to; jobs refer to them by position.
        estimate: Expected cost and time; None without earlier runs.
        max_cost_usd: Maximum cost of the run; None for no limit.
        maps: Mapped steps by name.
        approvals: Approvals that jobs wait for by name, in the order in which they are asked.
        notes: Notes for the user on the whole run.
    """

    version: Literal[1] = 1
    pipeline: str
    backend: str
    backend_origin: Origin = "argument"
    region: str | None
    prices_of: str | None
    image: str | None = None
    jobs: tuple[PlannedJob, ...]
    reused: dict[str, ReusedStep] = Field(default_factory=dict)
    asset_bytes: dict[str, int] = Field(default_factory=dict)
    startable: dict[str, tuple[InstanceOffer, ...]] = Field(default_factory=dict)
    alternatives: tuple[Alternative, ...] = ()
    estimate: Estimate | None = None
    max_cost_usd: float | None = None
    maps: dict[str, PlannedMap] = Field(default_factory=dict)
    approvals: dict[str, PlannedApproval] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def has_held_jobs(self) -> bool:
        """True if a client or a driver must submit jobs while the run continues."""
        return any(job.held for job in self.jobs)

    @property
    def skipped(self) -> dict[str, str]:
        """Cause for each step that is skipped for certain, so that it is in no job."""
        causes = {name: step.cause_of_skip for name, step in self.reused.items()}
        return {name: cause for name, cause in causes.items() if cause is not None}

    @property
    def absent(self) -> dict[str, str]:
        """Cause for each asset that does not exist because its step is skipped for certain."""
        steps = (step for step in self.reused.values() if step.cause_of_skip is not None)
        return {asset: cause for step in steps for asset, cause in step.skipped.items()}

    @property
    def origins(self) -> dict[str, str]:
        """Origin of each asset that jobs read and no job produces, in the order of the jobs."""
        reused = {asset: step for step in self.reused.values() for asset in step.produces}
        read = (a for job in self.jobs for a, producer in job.reads.items() if producer is None)
        return {
            asset: reused[asset].origin_of(asset) if asset in reused else EXTERNAL_INPUT
            for asset in dict.fromkeys(read)
        }

    @property
    def origins_by_name(self) -> dict[str, str]:
        """Same as `origins`; the items of a map are one asset, with the name of the list."""
        found: dict[str, set[str]] = {}
        for asset, origin in self.origins.items():
            found.setdefault(declared_name(asset), set()).add(origin)
        return {
            name: origins.pop() if len(origins) == 1 else "from earlier runs"
            for name, origins in found.items()
        }

    @property
    def is_priced(self) -> bool:
        """True if the jobs use instances that cost money."""
        return self.prices_of is not None

    def on(self, backend: str) -> ExecutionPlan:
        """Return the plan with only the jobs of one backend, without parents on other backends."""
        names = {job.name for job in self.jobs if job.backend == backend}
        if len(names) == len(self.jobs):
            return self
        jobs = (job for job in self.jobs if job.name in names)
        independent = tuple(
            job.model_copy(update={"after": tuple(p for p in job.after if p in names)})
            for job in jobs
        )
        return self.model_copy(update={"backend": backend, "jobs": independent})

    def offer_of(self, job: PlannedJob, instance_type: str) -> InstanceOffer:
        """Return the type that a job runs on, with its price if the plan knows it."""
        nodes = job.needs.nodes
        for offer in (*job.offers, *self.startable.get(job.target, ())):
            if (offer.instance_type, offer.nodes) == (instance_type, nodes):
                return offer
        return InstanceOffer(
            instance_type=instance_type, price_usd_hour=None, price_basis="unknown", nodes=nodes
        )

    def price_of(self, job: PlannedJob, instance_type: str | None) -> float | None:
        """Return the price per hour of all nodes of a job on a type; None if it is unknown.

        Args:
            job: The job.
            instance_type: Name of the type; None for the planned one.
        """
        if instance_type is None:
            return job.offers[0].price_usd_hour if job.offers else None
        return self.offer_of(job, instance_type).price_usd_hour

    @property
    def peak_usd_hour(self) -> float | None:
        """Price per hour if all jobs of a run run at the same time; None if a price is unknown."""
        prices = [(frozenset(job.cases), job.price_usd_hour) for job in self.jobs]
        if any(price is None for _, price in prices):
            return None
        return highest_sum((cases, price or 0.0) for cases, price in prices)

    @property
    def has_branches(self) -> bool:
        """True if a decision of the run chooses steps."""
        return any(job.branches for job in self.jobs)

    @property
    def expected_label(self) -> str:
        """Label of the expected cost and time: with branches, those of the highest ones."""
        return "expected at most" if self.has_branches else "expected"

    def _not_run(self) -> Iterator[str]:
        """Yield a line on the steps that are skipped, and one on those that are reused."""
        skipped = self.skipped
        if skipped:
            yield f"skipped: {', '.join(short_names(skipped))}"
        if reused := [name for name in self.reused if name not in skipped]:
            yield f"cached, not run: {', '.join(short_names(reused))}"

    def _sheets(self) -> list[Sheet]:
        table = job_rows(self.jobs, lambda job: (job.needs, job.target, job.offers))
        of_job = rows_by_job(table)
        rows = [
            (
                row.title,
                " → ".join(row.steps),
                str(row.first.needs),
                row.first.machines or "",
                "" if row.first.price_usd_hour is None else usd(row.first.price_usd_hour),
                row.first.target,
                job_names_text(dict.fromkeys(p for job in row.jobs for p in job.after), of_job),
                *((row.first.taken_text,) if self.has_held_jobs else ()),
            )
            for row in table
        ]
        columns = (
            "job",
            "steps",
            "needs",
            "instance type",
            "per hour",
            "target",
            "waits for",
            *(("if taken",) if self.has_held_jobs else ()),
        )
        lines = [f"note: {note}" for note in self.notes]
        if self.estimate is not None and self.estimate.wall_s is not None:
            cost_usd = self.estimate.cost_usd
            cost = "" if cost_usd is None else f"{usd(cost_usd)}, "
            lines.insert(0, f"{self.expected_label}: {cost}{self.estimate.wall_s:,.0f} s")
        if self.reused:
            lines[:0] = self._not_run()
        title = f"plan of {self.pipeline} on {self.backend}"
        return [Sheet(title, columns, rows, frozenset({4}), tuple(lines))]
