"""The documents of a report: all figures of a run, as `report --data` writes them."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from pydantic import Field

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.runtime.logged import StepLogged
from flowyml_aws.runtime.result import StepState
from flowyml_aws.runtime.usage import Series, StepUsage
from flowyml_aws.submission.approvals import ApprovalState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.compare import Kind
from flowyml_aws.submission.losses import LostAttempts
from flowyml_aws.submission.origin import RunOrigin
from flowyml_aws.submission.record import Bill, CostLimit, RunState
from flowyml_aws.submission.starts import JobStart

__all__ = [
    "ApprovalEntry",
    "AssetEntry",
    "ComparedEntry",
    "ComparedRunEntry",
    "ComparisonEntry",
    "Curves",
    "ExpansionEntry",
    "FailureEntry",
    "Fix",
    "ItemEntry",
    "JobEntry",
    "LogEnds",
    "MapEntry",
    "Preview",
    "RunReport",
    "Segment",
    "SegmentKind",
    "StepEntry",
]


class SegmentKind(str, Enum):
    """The use of a part of a run's time."""

    WAITING = "waiting"
    """The job waits for a machine, which includes the start of the machine and the container."""
    PULL = "pull"
    """The image is downloaded, or packages are installed."""
    DOWNLOAD = "download"
    """Code and values are loaded."""
    COMPUTE = "compute"
    """The user's code runs."""
    UPLOAD = "upload"
    """Values are stored."""
    LOST = "lost"
    """An attempt that was repeated."""


class Segment(Document):
    """A period of a job.

    Attributes:
        step: Step that it belongs to, or None.
        started_at, ended_at: Times in seconds since the epoch.
    """

    kind: SegmentKind
    step: str | None = None
    started_at: float
    ended_at: float

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.ended_at - self.started_at


class Curves(Document):
    """Use of the machine over time by the newest attempt of a job.

    Attributes:
        started_at: Start of the first period, in seconds since the epoch.
        period_s: Length of a period in seconds.
        series: Measured quantities.
        missing: Reason why a quantity was not measured, one for each cause.
    """

    started_at: float
    period_s: float
    series: tuple[Series, ...]
    missing: tuple[str, ...] = ()


class LogEnds(Document):
    """The start and the end of a log.

    Attributes:
        head: First bytes, as text; the whole log if nothing was left out.
        tail: Last bytes, as text.
        omitted_bytes: Bytes between them.
        problem: Reason why the log was not read, or None.
    """

    head: str = ""
    tail: str = ""
    omitted_bytes: int = 0
    problem: str | None = None


class Preview(Document):
    """A part of a value that can be shown.

    Attributes:
        kind: `table`, `array`, `text` or `image`; `none` if there is no preview.
        text: Start of a string, or the reason why there is no preview.
        columns, rows: Start of a table, or the statistics of an array.
        shape: Number of rows and columns of a table, or shape of an array.
        image: Data URI of an image.
    """

    kind: Literal["table", "array", "text", "image", "none"]
    text: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    shape: tuple[int, ...] = ()
    image: str | None = None


class AssetEntry(Document):
    """A value of the run.

    Attributes:
        step: Step that produced it.
        run_id: Run that produced it; another one if it was reused.
        uri: URI of its object; None if it is not stored.
        size_bytes: Size of its stored bytes.
        value_bytes: Size without compression.
        codec: Codec of the bytes, as `<name>/<version>`.
        note: Reason why it is not stored, or None.
    """

    name: str
    step: str
    run_id: str
    uri: str | None = None
    size_bytes: int | None = None
    value_bytes: int | None = None
    codec: str | None = None
    sha256: str | None = None
    note: str | None = None
    preview: Preview | None = None


class Fix(Document):
    """Something that may fix a failure.

    Attributes:
        text: Sentence, or the purpose of the command.
        command: Command, or None.
    """

    text: str
    command: str | None = None


class FailureEntry(Document):
    """A failure of a step or a job.

    Attributes:
        step: Step that failed; None if no step caused the failure.
        reason: Reason in one line.
        kind: Class name of the exception, or None.
        message: Whole message of the exception.
        traceback: The user's frames, or None.
        cause: Cause of the failure, or None if it is unknown.
        fixes: Possible fixes, in order.
    """

    job: str
    step: str | None = None
    reason: str
    kind: str | None = None
    message: str = ""
    traceback: str | None = None
    cause: str | None = None
    fixes: tuple[Fix, ...] = ()


class StepEntry(Document):
    """A step of the run.

    Attributes:
        job: Job that runs it; None if its outputs are reused.
        reused_from: Run that produced its outputs, or None.
        inputs: Assets that it reads.
        outputs: Assets that it produces.
        usage: Use of the machine, or None if it was not measured.
        logged: Metrics, images, tables and strings that it has logged, or None.
    """

    name: str
    job: str | None
    state: StepState
    retries: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    reason: str | None = None
    reused_from: str | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    usage: StepUsage | None = None
    logged: StepLogged | None = None

    @property
    def duration_s(self) -> float | None:
        """Seconds that it ran, including retries; None until it has ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at


class ItemEntry(Document):
    """An item of a mapped step.

    Attributes:
        name: Name of its step: `train[3]`.
        job: Job that runs it; None if its outputs are reused.
        duration_s: Seconds that it ran; None until it has ended.
        reason: Reason of its state in one line, or None.
        parameters: Values of its parameters as text, by name.
        metrics: Last value of each metric that it has logged.
    """

    name: str
    job: str | None
    state: StepState
    is_dropped: bool = False
    duration_s: float | None = None
    reason: str | None = None
    parameters: dict[str, str] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)


class MapEntry(Document):
    """A mapped step of the run.

    Attributes:
        text: Number of items in each state.
        required: Number of items that must not be dropped.
        items: Items in order.
    """

    name: str
    text: str
    required: int
    items: tuple[ItemEntry, ...]


class JobEntry(Document):
    """A job of the run.

    Attributes:
        group: Execution group that the user declared, or None.
        after: Jobs that it waits for.
        edges: Assets that it reads from each other job.
        approvals: Approvals that it waits for.
        is_skipped: Whether all its steps were skipped, so that no attempt of it ran.
        vcpus, memory_mib, gpu_count: Amounts that it requests.
        instance_type: Instance type that it ran on, or the planned one; None on this machine.
        planned_instance_type: Instance type in the plan; None on this machine.
        nodes: Number of nodes.
        cost_usd: Cost of the attempt with the result, without its start; None if it is unknown.
        expected_cost_usd: Cost according to the plan; None if it is unknown.
        lost: Attempts that were lost.
        bill: Bill of the service, or None.
        segments: Periods of the job, in order.
        is_estimated: Whether the segments were derived from the times of steps, because the job
            did not record its phases.
        start: Parts of its start, if the service or the job has reported any.
        curves: Use of the machine, or None if it was not measured.
        log: Log of the newest attempt, or None if it has not started.
        mapped: Mapped steps whose items the job runs.
    """

    name: str
    group: str | None = None
    steps: tuple[str, ...]
    mapped: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    edges: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    approvals: tuple[str, ...] = ()
    state: JobState
    is_skipped: bool = False
    reason: str | None = None
    attempt: int = 0
    backend: str
    target: str
    capacity: str = "on-demand"
    vcpus: int
    memory_mib: int
    gpu_count: int = 0
    instance_type: str | None = None
    planned_instance_type: str | None = None
    nodes: int = 1
    started_at: float | None = None
    ended_at: float | None = None
    cost_usd: float | None = None
    expected_cost_usd: float | None = None
    lost: LostAttempts = LostAttempts()
    bill: Bill | None = None
    segments: tuple[Segment, ...] = ()
    is_estimated: bool = True
    start: JobStart | None = None
    curves: Curves | None = None
    log: LogEnds | None = None

    @property
    def state_name(self) -> str:
        """Name of its state for people."""
        return "skipped" if self.is_skipped else self.state.value

    def seconds(self, kind: SegmentKind) -> float:
        """Return the total length of the segments of a kind."""
        return sum(segment.duration_s for segment in self.segments if segment.kind is kind)


class ApprovalEntry(Document):
    """An approval of the run.

    Attributes:
        answer: The answer with its author and comment; None without one.
        edges: Jobs that come before it, with the assets of each that it is about.
        approvals: Approvals that come before it.
    """

    name: str
    state: ApprovalState
    answer: str | None = None
    edges: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    approvals: tuple[str, ...] = ()


class AdviceEntry(Document):
    """Advice on the request of a job.

    Attributes:
        runs: Number of runs that measured all of its steps.
        cpu_peak_cores: Highest processor time per second in these runs.
        memory_peak_mib: Highest memory in MiB.
        gpus: Highest number of used GPUs; None without GPUs, or if it was not measured.
        requested: Needs of the job in this run.
        advised: Smallest adequate needs; None if too few runs measured the job.
    """

    job: str
    runs: int
    cpu_peak_cores: float
    memory_peak_mib: int
    gpus: int | None = None
    requested: str
    advised: str | None


class ComparedRunEntry(Document):
    """One of two runs that are compared.

    Attributes:
        duration_s: Seconds from its creation to its end; None while it is running.
        cost_usd: Cost of its jobs without their start; None if it is unknown.
    """

    run_id: str
    pipeline: str
    backend: str
    state: str
    duration_s: float | None
    cost_usd: float | None


class ComparedEntry(Document):
    """A value in two runs.

    Attributes:
        step: Step that it belongs to, or None.
        first, second: Value in each run: a string, or a number for metrics, seconds and USD. None
            if the run does not have it.
    """

    kind: Kind
    step: str | None
    name: str
    first: str | float | None
    second: str | float | None


class ComparisonEntry(Document):
    """The comparison of an earlier run, the first one, with the run of the report.

    Attributes:
        values: Values of at least one of the runs, in the order of kinds, steps and names.
        notes: Notes on what can't be compared.
    """

    first: ComparedRunEntry
    second: ComparedRunEntry
    values: tuple[ComparedEntry, ...] = ()
    notes: tuple[str, ...] = ()


class ExpansionEntry(Document):
    """The pipeline that a dynamic step has returned.

    Attributes:
        step: The dynamic step. The names of all jobs, steps, values and maps of the pipeline start
            with it: `search/train`.
        run_id: Id of its run.
        state: State of its run; None if it has not started.
        refusal: Reason why it was not started, or None.
    """

    step: str
    run_id: str
    state: RunState | None = None
    refusal: str | None = None


class RunReport(Document):
    """All figures of a run at one moment.

    Jobs, steps, values and costs include those of sub-runs.

    Attributes:
        made_at: Time of the report, in seconds since the epoch.
        origin: Person, machine, code and packages of the run; None for runs of older versions.
        parameters: Values of the context, as text.
        expected_cost_usd: Cost according to the plan; None if it is unknown.
        expected_s: Duration according to the plan; None if it is unknown.
        cost_usd: Cost of the attempts with results, without their start; None if it is unknown.
        lost: Attempts that were lost.
        cost_limit: Cost limit and counted cost; None without a limit, or on this machine.
        failures: Failures in plan order.
        maps: Mapped steps.
        approvals: Approvals in the order in which they are asked.
        notes: Notes on moves, machines, values, items and the plan.
        shortened: Sentences on content that the report leaves out.
        advice: Advice on the requests of jobs that were measured.
        comparison: Comparison with another run, or None.
        expansions: Pipelines that dynamic steps have returned, with their sub-runs.
    """

    version: Literal[1] = 1
    run_id: str
    pipeline: str
    backend: str
    region: str | None = None
    store: str
    state: RunState
    created_at: float
    ended_at: float | None
    made_at: float
    resumes: str | None = None
    origin: RunOrigin | None = None
    expected_cost_usd: float | None = None
    expected_s: float | None = None
    cost_usd: float | None = None
    lost: LostAttempts = LostAttempts()
    cost_limit: CostLimit | None = None
    failures: tuple[FailureEntry, ...] = ()
    jobs: tuple[JobEntry, ...] = ()
    steps: tuple[StepEntry, ...] = ()
    assets: tuple[AssetEntry, ...] = ()
    maps: tuple[MapEntry, ...] = ()
    approvals: tuple[ApprovalEntry, ...] = ()
    notes: tuple[str, ...] = ()
    shortened: tuple[str, ...] = ()
    advice: tuple[AdviceEntry, ...] = ()
    comparison: ComparisonEntry | None = None
    expansions: tuple[ExpansionEntry, ...] = ()

    @property
    def duration_s(self) -> float:
        """Seconds since the start of the run, until its end or the report."""
        return (self.ended_at or self.made_at) - self.created_at

    def seconds(self, kind: SegmentKind) -> float:
        """Return the total time of a kind in all jobs."""
        return sum(job.seconds(kind) for job in self.jobs)
