"""The comparison of a proof, without an account."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.aws.checks.alert_probe import alert_statement
from flowyml_aws.catalog.account_families import FAMILIES
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.cli.proving import MAX_COST_USD
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.resources import ResourceRequirements
from flowyml_aws.doctor.prove.checks import check_part
from flowyml_aws.doctor.prove.efa import EfaFacts, efa_facts
from flowyml_aws.doctor.prove.facts import MachineFacts, machine_facts, refused_folders
from flowyml_aws.doctor.prove.meeting import Meeting
from flowyml_aws.doctor.prove.observations import Answer, PartObservation, StageObservation
from flowyml_aws.doctor.prove.offers import PIPELINE, PartPlan, plan_proof, request_of
from flowyml_aws.doctor.prove.parts import parts_of
from flowyml_aws.doctor.prove.report import Row, redacted
from flowyml_aws.doctor.prove.steps import DATA, make_steps
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.nodes import EFA_LABEL
from flowyml_aws.planning.plan import ExecutionPlan, InstanceOffer, PlannedJob
from flowyml_aws.runtime.result import StepReport, StepState
from flowyml_aws.settings.model import Settings
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.record import Bill
from flowyml_aws.submission.status import JobView

FACTS = MachineFacts(
    uid=10001,
    shm_mib=512,
    disk_gib=99.0,
    training_disk_gib=29.0,
    refused={},
    metadata="",
    gpus=["Tesla T4"],
    not_emulated={},
)
OFFER = InstanceOffer(instance_type="c6i.large", price_usd_hour=0.085)
JOB = PlannedJob(
    name="prove",
    group="prove",
    steps=("look",),
    after=(),
    needs=Needs(vcpus=1, memory_mib=1024),
    backend="batch",
    target="cpu",
    offers=(OFFER,),
    reads={},
    produces={},
    stored=(),
    timeout_s=30,
    notes=(),
)
PLAN = ExecutionPlan(
    pipeline="doctor-prove", backend="batch", region="us-east-1", prices_of=None, jobs=(JOB,)
)
FIRST = JobView(JOB, JobState.SUCCEEDED, attempt=1, ran_on=OFFER)
SECOND = JobView(
    JOB,
    JobState.FAILED,
    attempt=2,
    reason="ProofFailed",
    steps=(
        StepReport(name="reuse", state=StepState.CACHED),
        StepReport(name="end_once", state=StepState.SUCCEEDED),
    ),
)


def stage(view: JobView, facts: MachineFacts | None = None, *log: str) -> StageObservation:
    return StageObservation(PLAN, view, facts, log)


THIRD = replace(stage(FIRST), children=({"job": "p:0", "index": "0"}, {"job": "p:1", "index": "1"}))


def observed(part: str, **changes: object) -> PartObservation:
    gpu = "t4" if part.endswith("-gpu") else None
    (found,) = parts_of(
        gpu, [part], has_nodes=part.endswith("-nodes"), has_efa=part.endswith("-efa")
    )
    right = PartObservation(
        found,
        (stage(FIRST, FACTS), stage(SECOND), THIRD)[: len(found.stages)],
        price=Answer(0.085),
        disk_gib=80.0,
        shared_memory_mib=512,
        alert=Answer(1.0),
    )
    return replace(right, **changes)  # type: ignore[arg-type]  # fields of the observation


def verdicts(observation: PartObservation) -> Mapping[str, str]:
    return {row.check: row.verdict for row in check_part(observation)}


def test_a_part_that_behaves_as_planned_agrees_in_each_check() -> None:
    assert set(verdicts(observed("batch")).values()) == {"agreed"}


def efa(*devices: str, provider: bool | None = True, not_emulated: str = "") -> EfaFacts:
    return EfaFacts(devices=list(devices), provider=provider, not_emulated=not_emulated)


MET: Meeting = {
    "count": 2,
    "addresses": {"0": "10.0.0.1", "1": "10.0.0.2"},
    "efa": {"0": efa("uverbs0"), "1": efa("uverbs0")},
}


@pytest.mark.parametrize(
    ("met", "verdict"),
    [
        (MET, "agreed"),
        ({"count": 2, "addresses": {"0": "10.0.0.1", "2": "10.0.0.2"}}, "deviated"),
        ({"count": 3, "addresses": MET["addresses"]}, "deviated"),
        (None, "not checked"),
    ],
)
def test_the_nodes_of_a_job_agree_if_all_of_them_have_met(
    met: Meeting | None, verdict: str
) -> None:
    met_nodes = replace(stage(FIRST), meeting=met)
    assert verdicts(observed("batch-nodes", stages=(met_nodes,)))["nodes"] == verdict


@pytest.mark.parametrize(
    ("node", "verdict", "words"),
    [
        (efa("uverbs0"), "agreed", "node 1: uverbs0 (found by libfabric)"),
        (efa("uverbs0", "uverbs1"), "agreed", "node 1: uverbs0, uverbs1 (found by libfabric)"),
        (efa("uverbs0", provider=None), "agreed", "uverbs0 (no fi_info in the image)"),
        (efa("uverbs0", provider=False), "deviated", "EFA libraries in the project's image"),
        (efa(), "deviated", "node 1: none"),
        (efa(), "deviated", "EFA driver of the machine image"),
        (efa(not_emulated="no EFA here"), "not checked", "no EFA here"),
    ],
)
def test_nodes_agree_on_efa_if_each_has_the_device(
    node: EfaFacts, verdict: str, words: str
) -> None:
    met: Meeting = {**MET, "efa": {"0": efa("uverbs0"), "1": node}}
    observation = observed("batch-efa", stages=(replace(stage(FIRST), meeting=met),))
    (row,) = (row for row in check_part(observation) if row.check == "efa")
    assert row.verdict == verdict
    assert words in f"{row.observed} {row.reason}"


def test_each_node_must_have_as_many_efa_as_its_job_requests() -> None:
    job = JOB.model_copy(update={"efa_interfaces": 2})
    seen = replace(stage(replace(FIRST, job=job)), meeting=MET)
    assert verdicts(observed("batch-efa", stages=(seen,)))["efa"] == "deviated"


def test_a_part_with_efa_plans_nodes_that_require_it() -> None:
    (part,) = parts_of(None, ["batch-efa"], has_efa=True)
    assert (part.nodes, part.checks[-2:]) == (2, ("nodes", "efa"))
    (step,) = make_steps(part.stages[0], part.capacity, None, part.nodes, has_efa=part.has_efa)
    assert isinstance(step.resources, ResourceRequirements)
    assert step.resources.node_affinity is not None
    assert step.resources.node_affinity.required[EFA_LABEL] == "true"
    with pytest.raises(SettingsError, match="fix: add --efa"):
        parts_of(None, ["batch-efa"])


def test_the_efa_of_this_machine_are_its_devices(tmp_path: Path) -> None:
    for name in ("uverbs1", "uverbs0", "rdma_cm"):
        (tmp_path / name).touch()
    facts = efa_facts({"PATH": "", "FLOWYML_NOT_EMULATED_EFA": "why"}, tmp_path)
    assert facts == efa("uverbs0", "uverbs1", provider=None, not_emulated="why")
    assert efa_facts({}, tmp_path / "missing")["devices"] == []


def test_a_part_with_nodes_plans_two_of_them() -> None:
    (part,) = parts_of(None, ["sagemaker-nodes"], has_nodes=True)
    (request,) = make_steps(part.stages[0], part.capacity, part.gpu, part.nodes)
    assert request.nodes == 2
    with pytest.raises(SettingsError, match="fix: add --nodes"):
        parts_of(None, ["sagemaker-nodes"])


def with_facts(**changes: object) -> tuple[StageObservation, ...]:
    facts: MachineFacts = {**FACTS, **changes}  # type: ignore[typeddict-item]
    return stage(FIRST, facts), stage(SECOND), THIRD


@pytest.mark.parametrize(
    ("check", "changes"),
    [
        ("shared memory", {"stages": with_facts(shm_mib=64)}),
        ("disk", {"stages": with_facts(disk_gib=30.0)}),
        ("metadata", {"stages": with_facts(metadata="it gave a token")}),
        ("price", {"price": Answer(0.102)}),
        ("price", {"price": Answer(0.08)}),
        ("alert", {"alert": Answer(0.0, "nothing arrived within 120 s")}),
        (
            "retry",
            {
                "stages": (
                    stage(FIRST, FACTS),
                    stage(
                        replace(
                            SECOND,
                            attempt=1,
                            reason="exited; exit code 143",
                            steps=SECOND.steps[:1],
                        )
                    ),
                )
            },
        ),
        (
            "cache",
            {"stages": (stage(FIRST, FACTS, "AccessDenied: cache/1.json"), stage(SECOND))},
        ),
    ],
)
def test_a_difference_is_a_deviation_with_its_meaning(
    check: str, changes: dict[str, object]
) -> None:
    rows = check_part(observed("batch", **changes))
    (row,) = (row for row in rows if row.verdict == "deviated")
    assert row.check == check
    assert row.reason and row.expected


def test_an_unknown_fact_is_not_checked_and_has_a_reason() -> None:
    stages = with_facts(not_emulated={"disk": "no root", "shm": "no root"})
    rows = check_part(observed("batch", stages=stages, price=Answer(reason="denied")))
    unchecked = {row.check: row.reason for row in rows if row.verdict == "not checked"}
    assert unchecked == {"disk": "no root", "shared memory": "no root", "price": "denied"}


def test_an_array_agrees_if_its_children_have_the_documented_ids() -> None:
    right = ({"job": "p:0", "index": "0"}, {"job": "p:1", "index": "1"})
    wrong = ({"job": "p:0", "index": "0"}, {"job": "q:1", "index": "1"})
    for children, verdict in ((right, "agreed"), (wrong, "deviated"), ((), "not checked")):
        stages = (*with_facts()[:2], replace(THIRD, children=children))
        assert verdicts(observed("batch", stages=stages))["array"] == verdict


def test_a_part_that_can_not_run_has_one_row_with_the_reason() -> None:
    (row,) = check_part(observed("batch-spot", stages=(), problem="no queue"))
    assert (row.check, row.verdict, row.reason) == ("all", "not checked", "no queue")


def test_a_job_that_failed_deviates_and_its_facts_are_not_checked() -> None:
    failed = stage(JobView(JOB, JobState.FAILED, 1, "exit code 1", ran_on=OFFER))
    found = verdicts(observed("batch", stages=(failed,), problem="the first run has failed"))
    assert found["run"] == "deviated"
    assert {found[check] for check in ("disk", "metadata", "cache", "retry", "alert")} == {
        "not checked"
    }


def test_a_spot_price_may_differ_by_a_quarter_and_an_upper_bound_may_be_too_high() -> None:
    for basis, price, verdict in (
        ("spot", 0.1, "agreed"),
        ("spot", 0.11, "deviated"),
        ("at most", 0.03, "agreed"),
        ("at most", 0.1, "deviated"),
    ):
        offer = OFFER.model_copy(update={"price_basis": basis})
        stages = (stage(replace(FIRST, ran_on=offer), FACTS),)
        found = verdicts(observed("batch-spot", stages=stages, price=Answer(price)))
        assert found["price"] == verdict, (basis, price)


def test_the_billed_time_on_demand_is_the_time_that_the_job_ran() -> None:
    for billed_s, is_spot, verdict in (
        (61, False, "agreed"),
        (90, False, "deviated"),
        (20, True, "agreed"),
    ):
        bill = Bill(instance_type="ml.m5.large", billed_s=billed_s, ran_s=60, is_spot=is_spot)
        stages = (replace(stage(FIRST, FACTS), bill=bill), stage(SECOND))
        assert verdicts(observed("sagemaker", stages=stages))["billed time"] == verdict


def test_names_of_the_account_are_redacted() -> None:
    reason = "role arn:aws:iam::123456789012:role/job may not read flowyml-main-123456789012/x"
    row = Row(part="batch", check="cache", verdict="deviated", reason=reason)
    text = redacted(row, {"123456789012", "flowyml-main-123456789012"}).reason
    assert text == "role <arn> may not read <redacted>/x"


def test_a_folder_that_can_not_be_written_is_reported_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    inside = tmp_path / "file/folder"
    assert refused_folders([tmp_path, tmp_path / "new"]) == {}
    assert refused_folders([inside]) == {str(inside): "Not a directory"}


def test_the_facts_of_this_machine_are_json_values(tmp_path: Path) -> None:
    environment = {
        "TMPDIR": str(tmp_path),
        "SAGEMAKER_BASE_DIR": str(tmp_path),
        "FLOWYML_NOT_EMULATED_DISK": "no root",
    }
    facts = machine_facts(environment, asks_metadata=False)
    assert facts["refused"] == {}
    assert facts["not_emulated"] == {"disk": "no root"}
    assert json.loads(json.dumps(facts)) == facts
    assert min(facts["disk_gib"], facts["training_disk_gib"], facts["shm_mib"]) > 0


def test_a_proof_without_gpus_costs_less_than_its_limit_at_most() -> None:
    catalog = load_catalog()
    (cpu,) = (family for family in FAMILIES if family.name == "cpu")
    names = [name for group in cpu.sizes for name in group]
    types = [catalog.get(name) for name in names]
    prices = [t.price_usd_hour or 0 for t in types if t is not None]
    training = sorted(
        t.sagemaker_price_usd_hour
        for t in catalog.types
        if t.sagemaker_price_usd_hour and t.offered and t.usable_memory_mib > 1024
    )[4]  # a training job names up to five types
    highest = {"batch": max(prices), "sagemaker": training}
    usd = 0.0
    for part in parts_of(None, ()):
        offer = InstanceOffer(instance_type="m", price_usd_hour=highest[part.backend])
        job = JOB.model_copy(update={"backend": part.backend, "offers": (offer,)})
        plan = PLAN.model_copy(update={"jobs": (job,)})
        driver = min(prices) if part.is_scheduled else 0.0
        usd += PartPlan(part, plan, driver_usd_hour=driver).highest_usd or 0.0
    assert 0.5 < usd < MAX_COST_USD == 0.75


def test_the_driver_of_a_schedule_counts_for_the_price() -> None:
    (part,) = parts_of(None, ["batch-schedule"])
    prices = [PartPlan(part, PLAN, driver_usd_hour=usd).highest_usd for usd in (0.0, 0.5, None)]
    assert prices[0] is not None and prices[1] is not None
    assert prices[1] - prices[0] == pytest.approx(0.5 * (2 * 180 + 3) / 3600)
    assert prices[2] is None


@pytest.mark.parametrize(
    ("part", "settings", "missing"),
    [
        ("batch-schedule", {"schedule_group": "g", "driver_queue": "q"}, "schedule_role"),
        ("batch-shell", {}, "debug_shell"),
        ("sagemaker-shell", {"debug_shell": True}, "sagemaker_role"),
    ],
)
def test_a_part_whose_option_the_account_lacks_is_skipped_with_the_setting(
    part: str, settings: dict[str, Any], missing: str, tmp_path: Path
) -> None:
    known = Settings(store="s3://bucket/prefix", **settings)
    (planned,) = plan_proof(parts_of(None, [part]), known, tmp_path, "token").parts
    assert planned.problem == f"the setting `{missing}` is not set"


def test_the_runs_of_a_proof_send_no_notices_and_only_one_part_has_shells() -> None:
    for part in parts_of(None, ()):
        options = request_of(part, 0, "token").options
        assert options.notify == ()
        assert options.debug_shell is part.name.endswith("-shell")


DUE = "2026-11-30T06:00:00Z"


def one_row(part: str, view: JobView = FIRST, **changes: Any) -> Row:
    """Return the row of the last check of a part with one run."""
    seen = {name: changes.pop(name) for name in ("scheduled", "data") if name in changes}
    changes.setdefault("stages", (replace(stage(view), **seen),))
    return check_part(observed(part, **changes))[-1]


@pytest.mark.parametrize(
    ("served", "seen", "verdict"),
    [
        ((DUE,), DUE, "agreed"),
        ((DUE, DUE), DUE, "deviated"),
        ((DUE,), "2026-11-30T07:00:00Z", "deviated"),
        ((DUE,), "", "deviated"),
        ((DUE,), None, "not checked"),
    ],
)
def test_a_schedule_agrees_if_it_has_started_one_run_at_its_time(
    served: tuple[str, ...], seen: str | None, verdict: str
) -> None:
    row = one_row("batch-schedule", due=DUE, served=served, scheduled=seen)
    assert (row.check, row.verdict) == ("schedule", verdict)


def test_a_schedule_that_starts_no_run_is_a_deviation() -> None:
    row = one_row("batch-schedule", stages=(), due=DUE, problem="no run within 15 minutes")
    assert (row.check, row.verdict) == ("schedule", "deviated")
    assert "no run within 15 minutes: look at" in row.reason


@pytest.mark.parametrize(
    ("shell", "verdict"),
    [
        (Answer(1.0), "agreed"),
        (Answer(reason="denied"), "deviated"),
        (Answer(), "not checked"),
    ],
)
def test_a_shell_agrees_if_a_session_was_opened(shell: Answer, verdict: str) -> None:
    row = one_row("sagemaker-shell", shell=shell)
    assert (row.check, row.verdict) == ("shell", verdict)
    assert shell.reason in row.reason


@pytest.mark.parametrize(
    ("mounts", "data", "verdict"),
    [
        ({"data": "s3://bucket/data/"}, DATA, "agreed"),
        ({"data": "s3://bucket/data/"}, "other", "deviated"),
        ({}, DATA, "deviated"),
        ({}, None, "not checked"),
    ],
)
def test_data_agrees_if_a_step_has_read_a_mounted_object(
    mounts: dict[str, str], data: str | None, verdict: str
) -> None:
    job = JOB.model_copy(update={"mounts": mounts})
    row = one_row("sagemaker-data", replace(FIRST, job=job), data=data)
    assert (row.check, row.verdict) == ("data", verdict)


def test_a_priority_agrees_if_the_job_has_run_in_a_share() -> None:
    for share, verdict in (("flowyml", "agreed"), (None, "deviated")):
        job = JOB.model_copy(update={"share": share})
        assert one_row("batch-priority", replace(FIRST, job=job)).verdict == verdict


def test_the_page_has_the_statement_for_the_check_of_alerts() -> None:
    page = (Path(__file__).parents[2] / "docs/first-hour.md").read_text("utf-8")
    (documented,) = re.findall(r"```json\n(.*?)```", page, flags=re.S)
    topic = "arn:aws:sns:us-east-1:123456789012:flowyml-main-alerts"
    assert json.loads(documented) == json.loads(alert_statement(topic, f"{PIPELINE}-*"))


def test_the_page_names_every_check_and_every_part() -> None:
    page = (Path(__file__).parents[2] / "docs/first-hour.md").read_text("utf-8")
    documented = dict(re.findall(r"^\| ([a-z ]+) \| .* \| ([a-z, -]+) \|$", page, flags=re.M))
    assert documented.pop("check") == "parts"
    parts = parts_of("t4", (), has_nodes=True, has_efa=True)
    everywhere = ", ".join(part.name for part in parts)
    assert {check: documented[check].replace("all", everywhere) for check in documented} == {
        check: ", ".join(part.name for part in parts if check in part.checks)
        for part in parts
        for check in part.checks
    }
