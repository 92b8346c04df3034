"""The comparison of what happened with what the plan and the emulator say. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flowyml_aws.doctor.prove.efa import EfaFacts
from flowyml_aws.doctor.prove.observations import PartObservation, Rows, no_facts
from flowyml_aws.doctor.prove.option_checks import (
    check_data,
    check_priority,
    check_schedule,
    check_shell,
)
from flowyml_aws.doctor.prove.report import Row
from flowyml_aws.doctor.prove.steps import CHILDREN
from flowyml_aws.runtime.exit_codes import INTERRUPTED
from flowyml_aws.runtime.result import StepReport, StepState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.status import JobView

__all__ = ["check_part"]

_PRICE_TOLERANCE = 0.01
_SPOT_TOLERANCE = 0.25  # spot prices change within days
_DISK_SHARE = 0.9  # a file system needs some of its disk
_INTERRUPTED = f"exit code {INTERRUPTED}"
_DENIED = ("AccessDenied", "not authorized")
_DENIED_CACHE = "its cache entry can't be read"


def check_part(observed: PartObservation) -> list[Row]:
    """Return a row for each check of a part; one row if none of its runs has ended."""
    part = observed.part
    if not observed.stages and observed.due is not None:
        return [check_schedule(observed, Rows(part.name, "schedule"))]
    if not observed.stages:
        row = Row(part=part.name, check="all", verdict="not checked", reason=observed.problem)
        return [row]
    return [_CHECKS[check](observed, Rows(part.name, check)) for check in part.checks]


def _run(o: PartObservation, row: Rows) -> Row:
    view = o.stages[0].view
    observed = view.state.value if view.reason is None else f"{view.state.value}: {view.reason}"
    is_done = view.state is JobState.SUCCEEDED
    return row.compare(is_done, "succeeded", observed, "see the log of the job")


def _instance_type(o: PartObservation, row: Rows) -> Row:
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


def _price(o: PartObservation, row: Rows) -> Row:
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


def _billed(o: PartObservation, row: Rows) -> Row:
    bill = o.stages[0].bill
    if bill is None:
        return row.unchecked("", "SageMaker reported no billed time")
    if bill.is_spot:
        expected, agrees = f"at most {bill.ran_s} s", bill.billed_s <= bill.ran_s
    else:
        expected, agrees = f"{bill.ran_s} s", abs(bill.billed_s - bill.ran_s) <= 1
    return row.compare(agrees, expected, f"{bill.billed_s} s", "the bill has another time")


def _folders(o: PartObservation, row: Rows) -> Row:
    expected = "/opt/ml/{model,output,checkpoints} and /tmp can be written"
    if o.facts is None:
        return row.unchecked(expected, no_facts(o))
    refused = o.facts["refused"]
    uid = f"(user {o.facts['uid']})"
    if not refused:
        return row("agreed", expected, f"all can be written {uid}")
    listed = "; ".join(f"{folder.rpartition('/')[2]}: {why}" for folder, why in refused.items())
    return row(
        "deviated", expected, f"{listed} {uid}", "the image must start as root: see images.md"
    )


def _disk(o: PartObservation, row: Rows) -> Row:
    if o.disk_gib is None:
        return row.unchecked("", "the plan promises no disk: the job requests no `storage`")
    expected = f"at least {o.disk_gib:.0f} GiB"
    if (reason := _unknown(o, "disk")) or o.facts is None:
        return row.unchecked(expected, reason)
    has_folders = "folders" in o.part.checks
    size_gib = o.facts["training_disk_gib"] if has_folders else o.facts["disk_gib"]
    agrees = size_gib >= o.disk_gib * _DISK_SHARE
    return row.compare(agrees, expected, f"{size_gib:.1f} GiB", "plans count on a larger disk")


def _shared_memory(o: PartObservation, row: Rows) -> Row:
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


def _metadata(o: PartObservation, row: Rows) -> Row:
    expected = "not reachable from a step"
    if (reason := _unknown(o, "metadata")) or o.facts is None:
        return row.unchecked(expected, reason)
    answer = o.facts["metadata"]
    reason = "a step can take the permissions of the instance: apply infra/ again"
    return row.compare(not answer, expected, answer or "not reachable", reason)


def _gpu(o: PartObservation, row: Rows) -> Row:
    count = o.job.needs.gpu_count
    expected = f"{count} visible"
    if (reason := _unknown(o, "gpu")) or o.facts is None:
        return row.unchecked(expected, reason)
    gpus = o.facts["gpus"]
    observed = f"{len(gpus)} visible{f': {gpus[0]}' if gpus else ''}"
    return row.compare(len(gpus) >= count, expected, observed, "the container has no GPU device")


def _cache(o: PartObservation, row: Rows) -> Row:
    expected = "the second run takes the value from the cache"
    if len(o.stages) < 2:
        return row.unchecked(expected, o.problem or no_facts(o))
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


def _retry(o: PartObservation, row: Rows) -> Row:
    expected = "an attempt that ends with 143 is repeated"
    if len(o.stages) < 2:
        return row.unchecked(expected, o.problem or no_facts(o))
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


def _alert(o: PartObservation, row: Rows) -> Row:
    expected = "a failed job sends an alert"
    if len(o.stages) < 2:
        return row.unchecked(expected, o.problem or no_facts(o))
    if o.alert.value is None:
        return row.unchecked(expected, o.alert.reason)
    reason = "look at the topic's policy and the metric FailedInvocations of AWS/Events"
    observed = "delivered" if o.alert.value else o.alert.reason
    return row.compare(bool(o.alert.value), expected, observed, reason)


def _array(o: PartObservation, row: Rows) -> Row:
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


def _nodes(o: PartObservation, row: Rows) -> Row:
    nodes = o.part.nodes
    expected = f"{nodes} nodes reach the main node"
    met = o.stages[0].meeting
    if met is None:
        return row.unchecked(expected, no_facts(o))
    addresses = met["addresses"]
    observed = ", ".join(f"node {rank} at {addresses[rank]}" for rank in sorted(addresses))
    agrees = set(addresses) == {str(rank) for rank in range(nodes)}
    reason = "the ranks of the nodes are wrong, which programs such as torchrun rely on"
    return row.compare(agrees and met["count"] == nodes, expected, observed, reason)


def _efa(o: PartObservation, row: Rows) -> Row:
    count = max(1, o.job.efa_interfaces)  # SageMaker decides itself about the number
    expected = f"each node has at least {count} EFA"
    met = o.stages[0].meeting
    if met is None:
        return row.unchecked(expected, no_facts(o))
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


_CHECKS: Mapping[str, Callable[[PartObservation, Rows], Row]] = {
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
    "priority": check_priority,
    "schedule": check_schedule,
    "shell": check_shell,
    "data": check_data,
    "nodes": _nodes,
    "efa": _efa,
}


def _unknown(o: PartObservation, fact: str) -> str:
    """Return the reason why a fact of the machine is unknown, or an empty string."""
    if o.facts is None:
        return no_facts(o)
    return o.facts["not_emulated"].get(fact, "")


def _step(view: JobView, name: str) -> StepReport | None:
    return next((report for report in view.steps if report.name == name), None)
