"""Advice on the requests of a pipeline, as a document."""

from __future__ import annotations

from typing import Literal

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.core.amounts import usd
from flowyml_aws.core.sheets import Sheet, ShownAsSheets
from flowyml_aws.planning.advice.evidence import MIN_RUNS
from flowyml_aws.planning.advice.requests import MEMORY_MARGIN
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.targets import PriceBasis

__all__ = ["Advice", "JobAdvice", "JobPeaks", "MachineCost", "Option"]


class JobPeaks(Document):
    """The highest measured use by the steps of a job.

    Attributes:
        cpu_peak_cores, cpu_mean_cores: Highest processor time per second of a period and of a step.
        memory_mib: Highest memory in MiB.
        gpus: Highest number of used GPUs; None if it was not measured.
        gpu_percent: Highest mean utilization of a GPU in percent.
        gpu_memory_mib: Highest memory of a GPU in MiB.
    """

    cpu_peak_cores: float
    cpu_mean_cores: float
    memory_mib: int
    gpus: int | None = None
    gpu_percent: float = 0.0
    gpu_memory_mib: int = 0


class MachineCost(Document):
    """The machine of a job, and its expected time and cost in a run.

    Attributes:
        instance_type: Instance type; None on this machine.
        price_usd_hour: Price of all nodes; None if it is unknown.
        expected_s: Expected seconds, startup included; None if unknown.
        cost_usd: Cost of that time; None if the time or the price is unknown.
    """

    instance_type: str | None
    price_usd_hour: float | None
    price_basis: PriceBasis = "on-demand"
    expected_s: float | None
    cost_usd: float | None


class JobAdvice(Document):
    """Advice on one job.

    Attributes:
        runs: Number of runs that measured all of its steps.
        peaks: Highest measured use; None without measurements.
        requested: Needs of the next run.
        advised: Smallest adequate needs; None without advice.
        before, after: Machine for the requested and for the advised needs.
        reason: Reason for missing advice, or for a higher request.
    """

    job: str
    steps: tuple[str, ...]
    runs: int
    peaks: JobPeaks | None
    requested: Needs
    advised: Needs | None
    before: MachineCost
    after: MachineCost | None
    reason: str | None = None

    @property
    def is_adequate(self) -> bool:
        """True if the request is the advised one."""
        return self.advised is not None and self.advised.amounts == self.requested.amounts


class Option(Document):
    """Another way to run the pipeline with the advised requests.

    Attributes:
        name: The way.
        saving_usd: USD per run that it saves; negative if it costs more, None if unknown.
        basis: Numbers that it rests on, or the reason why it is unknown.
    """

    name: Literal["grouping", "spot", "warm pool"]
    saving_usd: float | None
    basis: str


class Advice(Document, ShownAsSheets):
    """Advice on the requests of a pipeline.

    Attributes:
        runs: Number of recorded runs that were read.
        min_runs: Measured runs that advice needs.
        memory_margin: Memory above the highest peak, as a part of it.
        cost_usd: Expected cost of a run as requested; None if it is unknown.
        advised_cost_usd: Expected cost of a run with the advised requests; None if it is unknown.
        options: Other ways to run it, on services with instance types.
        notes: Notes on the assumptions.
    """

    version: Literal[1] = 1
    pipeline: str
    backend: str
    runs: int
    min_runs: int = MIN_RUNS
    memory_margin: float = MEMORY_MARGIN
    jobs: tuple[JobAdvice, ...]
    cost_usd: float | None = None
    advised_cost_usd: float | None = None
    options: tuple[Option, ...] = ()
    notes: tuple[str, ...] = ()

    def _sheets(self) -> list[Sheet]:
        rows = [
            (
                job.job,
                str(job.runs),
                str(job.requested),
                "" if job.advised is None else str(job.advised),
                job.before.instance_type or "",
                "" if job.after is None else job.after.instance_type or "",
                "" if job.before.cost_usd is None else usd(job.before.cost_usd),
                "" if job.after is None or job.after.cost_usd is None else usd(job.after.cost_usd),
                job.reason or "",
            )
            for job in self.jobs
        ]
        columns = (
            "job",
            "runs",
            "requested",
            "advised",
            "type",
            "advised type",
            "cost",
            "advised cost",
            "remark",
        )
        lines = [f"{option.name}: {option.basis}" for option in self.options]
        title = f"advice on {self.pipeline} on {self.backend}"
        return [Sheet(title, columns, rows, frozenset({1, 6, 7}), tuple(lines))]
