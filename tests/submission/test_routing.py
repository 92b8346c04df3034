"""Jobs at several services; tests/contracts drives real backends."""

from __future__ import annotations

from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.submission.backend import JobState, JobStatus
from flowyml_aws.submission.bills import JobBills
from flowyml_aws.submission.record import Bill
from flowyml_aws.submission.routing import RoutedBackend
from tests.submission.scripted import SampledBackend, ScriptedBackend
from tests.support.plans import a_job, a_plan


def on_sagemaker(name: str, *after: str) -> PlannedJob:
    return a_job(name, after=after, backend="sagemaker")


# prepare, check and clean on Batch, fit on SageMaker, report and notify on Batch again.
PLAN = a_plan(
    a_job("prepare"),
    a_job("check"),
    a_job("clean", after=["prepare"]),
    on_sagemaker("fit", "clean"),
    a_job("report", after=["fit", "check"]),
    a_job("notify", after=["report"]),
    backend="batch+sagemaker",
)


class Stage:
    def __init__(self) -> None:
        self.batch, self.sagemaker = ScriptedBackend(), ScriptedBackend()
        self.both = RoutedBackend(PLAN, {"batch": self.batch, "sagemaker": self.sagemaker})

    def submit(self, *succeeded: str) -> tuple[list[str], list[str]]:
        """Return the jobs offered to each backend after these jobs have succeeded."""
        self.batch.submitted.clear()
        self.sagemaker.submitted.clear()
        self.both.submit([job for job in PLAN.jobs if job.name not in succeeded], succeeded)
        batch, sagemaker = (
            [name for names, _ in backend.submitted for name in names]
            for backend in (self.batch, self.sagemaker)
        )
        return batch, sagemaker


def test_a_job_is_offered_once_its_parents_at_other_services_have_succeeded() -> None:
    stage = Stage()
    assert stage.submit() == (["prepare", "check", "clean"], [])
    assert stage.submit("prepare", "clean") == (["check"], ["fit"])
    # Its descendants on the same service may wait there.
    assert stage.submit("prepare", "clean", "fit") == (["check", "report", "notify"], [])


def test_a_plan_for_one_service_omits_jobs_of_other_services() -> None:
    batch, sagemaker = PLAN.on("batch"), PLAN.on("sagemaker")
    assert [(job.name, job.after) for job in sagemaker.jobs] == [("fit", ())]
    after = {job.name: job.after for job in batch.jobs}
    assert after["report"] == ("check",)
    assert after["clean"] == ("prepare",)


def test_states_bills_and_cancels_cover_all_services() -> None:
    stage = Stage()
    stage.batch.reported = {"prepare": JobStatus(JobState.RUNNING, 1)}
    stage.sagemaker.reported = {"fit": JobStatus(JobState.QUEUED)}
    bill = Bill(instance_type="ml.m5.large", billed_s=1, ran_s=1, is_spot=False)
    stage.sagemaker.bill = {"fit": bill}
    stage.sagemaker.awaited_bills = {"fit"}
    assert stage.both.statuses().keys() == {"prepare", "fit"}
    assert stage.both.bills() == JobBills({"fit": bill}, frozenset({"fit"}))
    stage.both.cancel(PLAN.jobs[3:])
    assert (stage.batch.cancelled, stage.sagemaker.cancelled) == (["report", "notify"], ["fit"])


def test_one_active_job_at_any_service_that_can_show_it_is_enough() -> None:
    sampled = SampledBackend(active=["fit"])
    both = RoutedBackend(PLAN, {"batch": ScriptedBackend(), "sagemaker": sampled})
    assert both.is_active(PLAN.jobs)
    assert not both.is_active(PLAN.jobs[:3])
    assert not Stage().both.is_active(PLAN.jobs)


def test_a_log_comes_from_the_jobs_own_service() -> None:
    stage = Stage()
    stage.both.logs("fit", None)
    assert (stage.batch.logs_read, stage.sagemaker.logs_read) == ([], ["fit"])
