"""The comparison of what happened with what the plan and the emulator say. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flowyml_aws.doctor.prove.efa import EfaFacts
from flowyml_aws.doctor.prove.facts import MachineFacts
from flowyml_aws.doctor.prove.meeting import Meeting
from flowyml_aws.doctor.prove.parts import Part
from flowyml_aws.doctor.prove.report import Row, Verdict
from flowyml_aws.doctor.prove.steps import CHILDREN, DATA
from flowyml_aws.planning.plan import ExecutionPlan, InstanceOffer, PlannedJob
from flowyml_aws.runtime.exit_codes import INTERRUPTED
from flowyml_aws.runtime.result import StepReport, StepState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.record import Bill
from flowyml_aws.submission.status import JobView

__all__ = ["Answer", "PartObservation", "StageObservation", "check_part"]

_PRICE_TOLERANCE = 0.01
_SPOT_TOLERANCE = 0.25  # spot prices change within days
_DISK_SHARE = 0.9  # a file system needs some of its disk
_INTERRUPTED = f"exit code {INTERRUPTED}"
_DENIED = ("AccessDenied", "not authorized")
_DENIED_CACHE = "its cache entry can't be read"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the account; `value` is None if there is none, for a reason."""

    value: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StageObservation:
    """A run that has ended.

    Attributes:
        view: Its only job; of an array, the first one that failed, or the first one.
        facts: Facts that the job saw, or None.
        log: Lines of its log.
        bill: Bill of the job, if the service reports one.
        children: Index and job id that each child of an array saw.
        meeting: Nodes that the main node of a job of several nodes has met, or None.
        scheduled: Time of the schedule that its job saw, or None.
        data: Content that its step has read below a prefix of S3, or None.
    """

    plan: ExecutionPlan
    view: JobView
    facts: MachineFacts | None = None
    log: tuple[str, ...] = ()
    bill: Bill | None = None
    children: tuple[Mapping[str, str], ...] = ()
    meeting: Meeting | None = None
    scheduled: str | None = None
    data: str | None = None


@dataclass(frozen=True, slots=True)
class PartObservation:
    """A part of the proof, after its runs.

    Attributes:
        stages: Runs that have ended, in order.
        problem: Reason why a run is missing, or empty.
        price: Price per hour of the type that ran, according to the account's price list.
        disk_gib: Disk that the plan promises; None if it promises none.
        shared_memory_mib: Size of /dev/shm that the job definition has; None on SageMaker.
        alert: 1 if the alert of the failed job arrived, 0 if it did not within the deadline.
        due: Time of the schedule that was created, as EventBridge Scheduler writes it, or None.
        served: Times that this schedule has served.
        shell: 1 if a session was opened in the running job.
    """

    part: Part
    stages: tuple[StageObservation, ...] = ()
    problem: str = ""
    price: Answer = Answer()
    disk_gib: float | None = None
    shared_memory_mib: int | None = None
    alert: Answer = Answer()
    due: str | None = None
    served: tuple[str, ...] = ()
    shell: Answer = Answer()

    @property
    def job(self) -> PlannedJob:
        return self.stages[0].view.job

    @property
    def ran_on(self) -> InstanceOffer | None:
        """The type that the first job ran on, with the plan's price, if the job reported it."""
        return self.stages[0].view.ran_on

    @property
    def facts(self) -> MachineFacts | None:
        return self.stages[0].facts


def check_part(observed: PartObservation) -> list[Row]:
    """Return a row for each check of a part; one row if none of its runs has ended."""
    part = observed.part
    if not observed.stages and observed.due is not None:
        return [_schedule(observed, _Rows(part.name, "schedule"))]
    if not observed.stages:
        row = Row(part=part.name, check="all", verdict="not checked", reason=observed.problem)
        return [row]
    return [_CHECKS[check](observed, _Rows(part.name, check)) for check in part.checks]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Makes the row of one check."""

    part: str
    check: str

    def __call__(self, verdict: Verdict, expected: str, observed: str, reason: str = "") -> Row:
        return Row(
            part=self.part,
            check=self.check,
            verdict=verdict,
            expected=expected,
            observed=observed,
            reason=reason,
        )

    def compare(self, agrees: bool, expected: str, observed: str, reason: str) -> Row:
        """Return a row with a reason if the two differ."""
        if agrees:
            return self("agreed", expected, observed)
        return self("deviated", expected, observed, reason)

    def unchecked(self, expected: str, reason: str) -> Row:
        return self("not checked", expected, "", reason)


def _run(o: PartObservation, row: _Rows) -> Row:
    view = o.stages[0].view
    observed = view.state.value if view.reason is None else f"{view.state.value}: {view.reason}"
    is_done = view.state is JobState.SUCCEEDED
    return row.compare(is_done, "succeeded", observed, "see the log of the job")


def _instance_type(o: PartObservation, row: _Rows) -> Row:
    job, plan = o.job, o.stages[0].plan
    offers = {
        offer.instance_type: offer for offer in (*plan.startable.get(job.target, ()), *job.offers)
    }
    others = len(offers) - 1
    plural = "s" * (others > 1)
    expected = f"{job.instance_type}{f' or {others} other{plural}' if others else ''}"
    if o.ran_on is None:
        return row.unchecked(expected, "the job did not report its instance type")
    ran_on = o.ran_on.instance_type
    reason = "the plan does not name this type: the price and the limits of the plan do not hold"
    return row.compare(ran_on in offers, expected, ran_on, reason)


def _price(o: PartObservation, row: _Rows) -> Row:
    if o.ran_on is None:
        return row.unchecked("", "the job did not report its instance type")
    planned, name = o.ran_on.price_usd_hour, o.ran_on.machines
    if planned is None:
        return row.unchecked("", f"the plan has no price for {name}")
    expected = f"{name}: ${planned:.4f} per hour ({o.ran_on.price_basis})"
    if o.price.value is None:
        return row.unchecked(expected, o.price.reason)
    basis, difference = o.ran_on.price_basis, o.price.value / planned - 1
    limit = _SPOT_TOLERANCE if basis == "spot" else _PRICE_TOLERANCE
    observed = f"${o.price.value:.4f} per hour ({difference:+.0%})"
    agrees = difference <= limit and (basis == "at most" or difference >= -limit)
    return row.compare(
        agrees, expected, observed, "refresh the prices: flowyml-aws catalog refresh"
    )


def _billed(o: PartObservation, row: _Rows) -> Row:
    bill = o.stages[0].bill
    if bill is None:
        return row.unchecked("", "SageMaker reported no billed time")
    if bill.is_spot:
        expected, agrees = f"at most {bill.ran_s} s", bill.billed_s <= bill.ran_s
    else:
        expected, agrees = f"{bill.ran_s} s", abs(bill.billed_s - bill.ran_s) <= 1
    return row.compare(agrees, expected, f"{bill.billed_s} s", "the bill has another time")


def _folders(o: PartObservation, row: _Rows) -> Row:
    expected = "/opt/ml/{model,output,checkpoints} and /tmp can be written"
    if o.facts is None:
        return row.unchecked(expected, _no_facts(o))
    refused = o.facts["refused"]
    uid = f"(user {o.facts['uid']})"
    if not refused:
        return row("agreed", expected, f"all can be written {uid}")
    listed = "; ".join(f"{folder.rpartition('/')[2]}: {why}" for folder, why in refused.items())
    return row(
        "deviated", expected, f"{listed} {uid}", "the image must start as root: see images.md"
    )


def _disk(o: PartObservation, row: _Rows) -> Row:
    if o.disk_gib is None:
        return row.unchecked("", "the plan promises no disk: the job requests no `storage`")
    expected = f"at least {o.disk_gib:.0f} GiB"
    if (reason := _unknown(o, "disk")) or o.facts is None:
        return row.unchecked(expected, reason)
    has_folders = "folders" in o.part.checks
    size_gib = o.facts["training_disk_gib"] if has_folders else o.facts["disk_gib"]
    agrees = size_gib >= o.disk_gib * _DISK_SHARE
    return row.compare(agrees, expected, f"{size_gib:.1f} GiB", "plans count on a larger disk")


def _shared_memory(o: PartObservation, row: _Rows) -> Row:
    expected = f"{o.shared_memory_mib} MiB"
    if (reason := _unknown(o, "shm")) or o.facts is None:
        return row.unchecked(expected, reason)
    size = o.facts["shm_mib"]
    return row.compare(
        size >= (o.shared_memory_mib or 0),
        expected,
        f"{size} MiB",
        "data loaders of PyTorch end with a bus error if it is too small",
    )


def _metadata(o: PartObservation, row: _Rows) -> Row:
    expected = "not reachable from a step"
    if (reason := _unknown(o, "metadata")) or o.facts is None:
        return row.unchecked(expected, reason)
    answer = o.facts["metadata"]
    reason = "a step can take the permissions of the instance: apply infra/ again"
    return row.compare(not answer, expected, answer or "not reachable", reason)


def _gpu(o: PartObservation, row: _Rows) -> Row:
    count = o.job.needs.gpu_count
    expected = f"{count} visible"
    if (reason := _unknown(o, "gpu")) or o.facts is None:
        return row.unchecked(expected, reason)
    gpus = o.facts["gpus"]
    observed = f"{len(gpus)} visible{f': {gpus[0]}' if gpus else ''}"
    return row.compare(len(gpus) >= count, expected, observed, "the container has no GPU device")


def _cache(o: PartObservation, row: _Rows) -> Row:
    expected = "the second run takes the value from the cache"
    if len(o.stages) < 2:
        return row.unchecked(expected, o.problem or _no_facts(o))
    report = _step(o.stages[1].view, "reuse")
    if report is None or report.state not in (StepState.CACHED, StepState.SUCCEEDED):
        return row.unchecked(expected, "the step did not run")
    denied = [
        line
        for stage in o.stages
        for line in stage.log
        if _DENIED_CACHE in line or any(word in line for word in _DENIED)
    ]
    reason = f"denied: {denied[-1].strip()}" if denied else "the lookup of the job missed"
    is_hit = report.state is StepState.CACHED
    return row.compare(
        is_hit and not denied,
        expected,
        "taken from the cache" if is_hit else "executed again",
        reason,
    )


def _retry(o: PartObservation, row: _Rows) -> Row:
    expected = "an attempt that ends with 143 is repeated"
    if len(o.stages) < 2:
        return row.unchecked(expected, o.problem or _no_facts(o))
    view = o.stages[1].view
    report = _step(view, "end_once")
    if report is not None and report.state is StepState.SUCCEEDED:
        return row("agreed", expected, f"{view.attempt} attempts")
    if _INTERRUPTED not in (view.reason or ""):
        return row.unchecked(expected, f"the step did not run: {view.reason}")
    return row(
        "deviated",
        expected,
        f"{view.attempt} attempt: {view.reason}",
        "spot jobs end if AWS takes their instance: look at the retry strategy of the job",
    )


def _alert(o: PartObservation, row: _Rows) -> Row:
    expected = "a failed job sends an alert"
    if len(o.stages) < 2:
        return row.unchecked(expected, o.problem or _no_facts(o))
    if o.alert.value is None:
        return row.unchecked(expected, o.alert.reason)
    reason = "look at the topic's policy and the metric FailedInvocations of AWS/Events"
    observed = "delivered" if o.alert.value else o.alert.reason
    return row.compare(bool(o.alert.value), expected, observed, reason)


def _array(o: PartObservation, row: _Rows) -> Row:
    expected = f"one job with {CHILDREN} children, PARENT:0 to PARENT:{CHILDREN - 1}"
    children = o.stages[-1].children
    if not children:
        return row.unchecked(expected, o.problem or "the run of the array has not succeeded")
    parent = children[0]["job"].rpartition(":")[0]
    agrees = bool(parent) and [(child["job"], child["index"]) for child in children] == [
        (f"{parent}:{index}", str(index)) for index in range(CHILDREN)
    ]
    observed = ", ".join(f"job {child['job']} with index {child['index']}" for child in children)
    reason = "jobs of maps find their specs by the index, and are followed by these ids"
    return row.compare(agrees, expected, observed, reason)


def _nodes(o: PartObservation, row: _Rows) -> Row:
    nodes = o.part.nodes
    expected = f"{nodes} nodes reach the main node"
    met = o.stages[0].meeting
    if met is None:
        return row.unchecked(expected, _no_facts(o))
    addresses = met["addresses"]
    observed = ", ".join(f"node {rank} at {addresses[rank]}" for rank in sorted(addresses))
    agrees = set(addresses) == {str(rank) for rank in range(nodes)}
    reason = "the ranks of the nodes are wrong, which programs such as torchrun rely on"
    return row.compare(agrees and met["count"] == nodes, expected, observed, reason)


def _efa(o: PartObservation, row: _Rows) -> Row:
    count = max(1, o.job.efa_interfaces)  # SageMaker decides itself about the number
    expected = f"each node has at least {count} EFA"
    met = o.stages[0].meeting
    if met is None:
        return row.unchecked(expected, _no_facts(o))
    nodes = sorted(met["efa"].items())
    if reason := next((f["not_emulated"] for _, f in nodes if f["not_emulated"]), ""):
        return row.unchecked(expected, reason)
    observed = "; ".join(f"node {rank}: {_efa_text(facts)}" for rank, facts in nodes)
    if any(len(facts["devices"]) < count for _, facts in nodes):
        reason = (
            "a container lacks the device: look at the network interfaces in the launch template, "
            "and at the EFA driver of the machine image"
        )
        return row("deviated", expected, observed, reason)
    has_provider = all(facts["provider"] is not False for _, facts in nodes)
    reason = "libfabric does not find the device: look at the EFA libraries in the project's image"
    return row.compare(has_provider, expected, observed, reason)


def _efa_text(facts: EfaFacts) -> str:
    provider = {None: "no fi_info in the image", True: "found by libfabric", False: "not found"}
    devices = ", ".join(facts["devices"])
    return f"{devices} ({provider[facts['provider']]})" if devices else "none"


def _priority(o: PartObservation, row: _Rows) -> Row:
    expected = f"runs with priority {o.part.options.priority} in a fair-share queue"
    is_done = o.stages[0].view.state is JobState.SUCCEEDED and o.job.share is not None
    observed = f"{o.stages[0].view.state.value} in the share {o.job.share}"
    return row.compare(is_done, expected, observed, "look at the scheduling policy of the queue")


def _schedule(o: PartObservation, row: _Rows) -> Row:
    expected = f"one run, at {o.due}"
    served = ", ".join(o.served) or "none"
    if not o.stages:
        reason = (
            f"{o.problem}: look at the metric TargetErrorCount of AWS/Scheduler, and at the jobs "
            "of the queue for drivers"
        )
        return row("deviated", expected, f"times with a run: {served}", reason)
    seen = o.stages[0].scheduled
    if seen is None:
        return row.unchecked(expected, _no_facts(o))
    reason = "the times of the schedule, or the time that jobs see, are wrong"
    observed = f"times with a run: {served}; the job saw {seen or 'no time'}"
    return row.compare(o.served == (o.due,) and seen == o.due, expected, observed, reason)


def _shell(o: PartObservation, row: _Rows) -> Row:
    expected = "AWS opens a session in the running job"
    if o.shell.value is None and not o.shell.reason:
        return row.unchecked(expected, "the job was not seen running")
    return row.compare(
        bool(o.shell.value), expected, "opened" if o.shell.value else "not opened", o.shell.reason
    )


def _data(o: PartObservation, row: _Rows) -> Row:
    expected = "a step reads an object of a prefix that the service mounts"
    data = o.stages[0].data
    if data is None:
        return row.unchecked(expected, _no_facts(o))
    agrees = data == DATA and bool(o.job.mounts)
    observed = f"{len(data)} bytes, {'mounted' if o.job.mounts else 'downloaded'}"
    return row.compare(agrees, expected, observed, "the step has read other bytes")


_CHECKS: Mapping[str, Callable[[PartObservation, _Rows], Row]] = {
    "run": _run,
    "instance type": _instance_type,
    "price": _price,
    "billed time": _billed,
    "folders": _folders,
    "disk": _disk,
    "shared memory": _shared_memory,
    "metadata": _metadata,
    "gpu": _gpu,
    "cache": _cache,
    "retry": _retry,
    "alert": _alert,
    "array": _array,
    "priority": _priority,
    "schedule": _schedule,
    "shell": _shell,
    "data": _data,
    "nodes": _nodes,
    "efa": _efa,
}


def _unknown(o: PartObservation, fact: str) -> str:
    """Return the reason why a fact of the machine is unknown, or an empty string."""
    if o.facts is None:
        return _no_facts(o)
    return o.facts["not_emulated"].get(fact, "")


def _no_facts(o: PartObservation) -> str:
    return f"the job has not reported it ({o.stages[0].view.state.value})"


def _step(view: JobView, name: str) -> StepReport | None:
    return next((report for report in view.steps if report.name == name), None)
