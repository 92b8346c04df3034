"""The proof: plan, run, compare, clean up."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.layout import CONTENTS
from flowyml_aws.aws.codebuild import Build
from flowyml_aws.aws.registry import Repository
from flowyml_aws.client.notices import send_test
from flowyml_aws.core import clock
from flowyml_aws.core.data_inputs import S3Prefix
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.core.version import installed_version
from flowyml_aws.doctor.prove.billing import check_billing
from flowyml_aws.doctor.prove.checks import check_part
from flowyml_aws.doctor.prove.cleanup import remove_runs
from flowyml_aws.doctor.prove.image_build import build_proof_image, check_image_build
from flowyml_aws.doctor.prove.notified import check_notices
from flowyml_aws.doctor.prove.observations import Answer, PartObservation
from flowyml_aws.doctor.prove.offers import PIPELINE, PartPlan, ProofPlan
from flowyml_aws.doctor.prove.parts import Part
from flowyml_aws.doctor.prove.report import Proof, Row, redacted
from flowyml_aws.doctor.prove.runs import PartRuns, run_parts
from flowyml_aws.doctor.prove.scheduled import time_text
from flowyml_aws.doctor.prove.steps import DATA, DATA_FILE, DATA_INPUT
from flowyml_aws.planning.plan import InstanceOffer
from flowyml_aws.services.account import Account, missing_setting
from flowyml_aws.services.image_builds import remote_builder
from flowyml_aws.settings.model import Settings

__all__ = ["ALERT_LIMIT_S", "ProofOptions", "prove"]

ALERT_LIMIT_S = 120.0
"""Longest wait for the alert of a failed job."""

_DENIED = ("AccessDenied", "AuthorizationError", "not authorized")


@dataclass(frozen=True, slots=True)
class ProofOptions:
    """Options of a proof.

    Attributes:
        gpu: Type of the GPU of one more job on each service, or None.
        topic: ARN of the topic for alerts; None to derive it from the account's name.
        alert_limit_s: Longest wait for the alert of a failed job.
        limit_s: Longest time of all runs.
        asks_billing: Whether Cost Explorer is asked, which costs $0.01.
        builds_image: Whether CodeBuild builds a small image, which costs about $0.01.
        sends_notices: Whether a test notice is sent to the recipients of the settings.
    """

    gpu: str | None = None
    topic: str | None = None
    alert_limit_s: float = ALERT_LIMIT_S
    limit_s: float = 3600.0
    asks_billing: bool = False
    sends_notices: bool = False
    builds_image: bool = False


def prove(
    plan: ProofPlan,
    settings: Settings,
    project: Path,
    options: ProofOptions,
    say: Callable[[str], None],
) -> Proof:
    """Run the jobs of a proof and compare what happened with the plan. Clean up in any case.

    Args:
        plan: Plan of the proof.
        settings: Settings of the project, with those of the account.
        project: Root of the project.
        options: Options of the proof.
        say: Called with messages on the progress.

    Raises:
        FlowymlError: AWS can't report the states of the jobs.
    """
    account = Account(settings, project, settings.image)
    since, store = time.time(), account.store
    data = f"{CONTENTS[0]}{PIPELINE}-{plan.token}/"  # jobs may read it, and `gc` deletes it
    runs = [
        PartRuns(each, _inputs(each.part, f"{store.uri}/{data}"))
        for each in plan.parts
        if each.plan is not None
    ]
    by_name = {each.name: each for each in runs}
    with ExitStack() as stack:
        stack.callback(_clean_up, account, runs, since, say)
        stack.callback(_end_options, account, runs)
        alert = _AlertCheck(account, settings, options, plan.token)
        if any(each.planned.part.failing_stage is not None for each in runs):
            alert.begin(stack)
        if any(each.inputs for each in runs):
            stack.callback(store.delete, [f"{data}{DATA_FILE}"])
            store.create(f"{data}{DATA_FILE}", DATA.encode())
        # A schedule needs a minute: the instances that the other parts have started still run.
        for is_scheduled in (False, True):
            group = [each for each in runs if each.planned.part.is_scheduled is is_scheduled]
            pause = partial(clock.sleep, settings.poll_s)
            run_parts(group, plan.token, say, options.limit_s, clock.monotonic, pause)
        observed = [
            _observe(each, by_name.get(each.part.name), account, alert, say) for each in plan.parts
        ]
    rows = [row for each in observed for row in check_part(each)]
    if options.sends_notices:
        rows.append(check_notices(settings.notify, send_test))
    if options.builds_image:
        rows.append(check_image_build(lambda: _build_image(account, settings, say)))
    if options.asks_billing:
        rows.append(check_billing(account.billed_costs, datetime.now(timezone.utc).date()))
    return _report(rows, plan, settings, account, options.gpu)


def _build_image(account: Account, settings: Settings, say: Callable[[str], None]) -> Build:
    builder = remote_builder(account, say)
    if settings.repository is None:
        raise missing_setting("repository")
    return build_proof_image(builder, Repository.parse(settings.repository))


def _inputs(part: Part, uri: str) -> Mapping[str, Any]:
    return {DATA_INPUT: S3Prefix(uri, mode="mount")} if part.has_data else {}


class _AlertCheck:
    """The temporary queue that waits for the alert of the failed job."""

    def __init__(
        self, account: Account, settings: Settings, options: ProofOptions, token: str
    ) -> None:
        self._account = account
        self._settings = settings
        self._options = options
        self._name = f"{PIPELINE}-{token}"
        self._probe: Any = None
        self._problem = ""

    def begin(self, stack: ExitStack) -> None:
        """Subscribe the queue, which the stack removes."""
        from flowyml_aws.aws.checks.alert_probe import alert_probe, alert_statement

        topic = self._options.topic or _topic_of(self._account, self._settings)
        if topic is None:
            self._problem = (
                "the topic is unknown: pass --topic with the output `topic_arn` of infra/"
            )
            return
        try:
            sqs, sns = self._account.client("sqs"), self._account.client("sns")
            self._probe = stack.enter_context(alert_probe(sqs, sns, topic, self._name))
        except AwsRefusedError as error:
            self._problem = f"{error.what}: {error.why}"
            if any(word in error.why for word in _DENIED):
                statement = alert_statement(topic, f"{PIPELINE}-*")
                self._problem += f"; add this statement: {statement}"

    def answer(self, run_id: str) -> Answer:
        """Return whether the alert of a run has arrived, after waiting for it."""
        if self._probe is None:
            return Answer(reason=self._problem)
        limit_s = self._options.alert_limit_s
        try:
            arrived = self._probe.has_message(run_id, limit_s)
        except AwsRefusedError as error:
            return Answer(reason=f"{error.what}: {error.why}")
        return Answer(float(arrived), "" if arrived else f"nothing arrived within {limit_s:.0f} s")


def _topic_of(account: Account, settings: Settings) -> str | None:
    """Return the ARN of the topic that infra/ creates for the account's name, if it is set."""
    name, region = settings.account, account.region
    if not name or "/" in name or region is None:
        return None
    arn = account.client("sts").get_caller_identity()["Arn"]
    _, partition, _, _, number, _ = arn.split(":", 5)
    return f"arn:{partition}:sns:{region}:{number}:flowyml-{name}-alerts"


def _observe(
    planned: PartPlan,
    runs: PartRuns | None,
    account: Account,
    alert: _AlertCheck,
    say: Callable[[str], None],
) -> PartObservation:
    part = planned.part
    if runs is None or not runs.stages:
        problem = planned.problem or (runs.problem if runs else "")
        due, served = _schedule_facts(runs)
        return PartObservation(part, problem=problem, due=due, served=served)
    due, served = _schedule_facts(runs)
    job, ran_on = runs.stages[0].view.job, runs.stages[0].view.ran_on
    failing = part.failing_stage
    has_alert = failing is not None and len(runs.stages) > failing
    if has_alert:
        say(f"{part.name}: waiting for the alert of the failed job")
    return PartObservation(
        part=part,
        stages=tuple(runs.stages),
        problem=runs.problem,
        price=Answer() if ran_on is None else _price(account, ran_on, job.capacity),
        disk_gib=_disk_gib(planned, None if ran_on is None else ran_on.instance_type, account),
        shared_memory_mib=job.options.shared_memory_mib or _shared_memory_mib(job.needs.memory_mib)
        if "shared memory" in part.checks
        else None,
        alert=alert.answer(runs.run_ids[failing or 0]) if has_alert else Answer(),
        due=due,
        served=served,
        shell=Answer(1.0) if runs.session else Answer(reason=runs.no_session),
    )


def _schedule_facts(runs: PartRuns | None) -> tuple[str | None, tuple[str, ...]]:
    """Return the time of a schedule, and the times that it has served."""
    if runs is None or runs.schedule is None:
        return None, ()
    schedule = runs.schedule
    return time_text(schedule.due), tuple(firing.time for firing in schedule.firings())


def _price(account: Account, ran_on: InstanceOffer, capacity: str) -> Answer:
    """Return the price of all nodes of a job."""
    try:
        usd_hour = account.price_usd_hour(ran_on.instance_type, capacity)
    except AwsRefusedError as error:
        return Answer(reason=f"{error.what}: {error.why}")
    if usd_hour is None:
        return Answer(reason=f"AWS lists no price for {ran_on.instance_type}")
    return Answer(usd_hour * ran_on.nodes)


def _disk_gib(planned: PartPlan, instance_type: str | None, account: Account) -> float | None:
    """Return the disk that the plan promises to the job, in GiB; None if it promises none."""
    if planned.plan is None:
        return None
    (job,) = planned.plan.jobs
    if job.volume_gib is not None:
        return job.volume_gib
    known = account.catalog.get((instance_type or "").removeprefix("ml."))
    if known is None:
        return None
    if planned.target is not None and planned.target.disk is not None:
        return planned.target.disk.free_on(known)
    return known.nvme_gb * 1e9 / 2**30 if known.nvme_gb else None


def _shared_memory_mib(memory_mib: int) -> int:
    from flowyml_aws.aws.batch.definition import shared_memory_mib

    return shared_memory_mib(memory_mib)


def _report(
    rows: Sequence[Row], plan: ProofPlan, settings: Settings, account: Account, gpu: str | None
) -> Proof:
    from flowyml_aws.aws.connection.endpoints import is_aws

    sts = account.client("sts")
    bucket = (settings.store or "").removeprefix("s3://").partition("/")[0]
    prefix = f"flowyml-{settings.account}" if settings.account else ""
    names = {sts.get_caller_identity()["Account"], bucket, prefix}
    return Proof(
        package=installed_version(),
        python=platform.python_version(),
        region=account.region or "",
        proven_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        is_emulated=not is_aws(sts),
        gpu=gpu,
        highest_usd=round(plan.highest_usd, 4),
        rows=tuple(redacted(row, names) for row in rows),
    )


def _end_options(account: Account, runs: Sequence[PartRuns]) -> None:
    """Delete the schedule, and end the sessions."""
    from flowyml_aws.aws.shell_sessions import end_session

    for each in runs:
        if each.session:
            end_session(account.client("ssm"), each.session)
        if each.schedule is not None:
            each.schedule.delete()


def _clean_up(
    account: Account, runs: Sequence[PartRuns], since: float, say: Callable[[str], None]
) -> None:
    """Delete the objects of all runs, and say what is left."""
    run_ids = [run_id for each in runs for run_id in each.run_ids]
    if not run_ids:
        return
    remove_runs(account.store, PIPELINE, run_ids, since)
    say(
        f"removed the objects of {len(run_ids)} runs; left: job definitions, log streams, and the "
        "bundle and the constant values of this project, which `flowyml-aws gc` deletes"
    )
    if running := [each.driver.record.run_id for each in runs if each.driver is not None]:
        say(
            f"cancelled, but AWS has not ended them yet: {', '.join(running)}; what they still "
            "write is deleted by `flowyml-aws gc`"
        )
