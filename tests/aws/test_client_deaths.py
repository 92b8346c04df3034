"""A client can die at any AWS call; the next client resumes its run, and each step runs once.

Hypothesis draws a pipeline, a backend, and what the clients do before they die. AWS is the
emulator in this process: it survives the clients, and so do the jobs.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from flowyml_aws import Run
from flowyml_aws.aws.batch import submission as batch_submission
from flowyml_aws.submission.record import RunState
from flowyml_aws.testing import Emulator
from tests.support.dying_client import ClientDeath, Lifetime, limited_lifetime
from tests.support.effort import examples
from tests.support.rigs import BackendRig, eventually, raised_emulator
from tests.support.shared_account import share_stores

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("client-deaths")]


class Task(NamedTuple):
    """A step: the numbers of the steps that it reads, and its execution group."""

    reads: Sequence[int]
    group: str | None


@st.composite
def pipelines(draw: st.DrawFn) -> list[Task]:
    groups = st.sampled_from([None, "x", "y"])
    tasks: list[Task] = []
    for number in range(draw(st.integers(1, 5))):
        reads = draw(st.sets(st.integers(0, number - 1), max_size=2)) if number else set()
        tasks.append(Task(sorted(reads), draw(groups)))
    return tasks


def backend_of(name: str, tasks: Sequence[Task]) -> Any:
    """Return the argument of `submit`; `mixed` alternates between the services."""
    if name != "mixed":
        return name
    jobs = sorted({task.group or f"s{number}" for number, task in enumerate(tasks)})
    return {**dict.fromkeys(jobs[::2], "sagemaker"), "*": "batch"}


def lives() -> st.SearchStrategy[Lifetime]:
    anywhere = st.builds(Lifetime, st.integers(0, 60), st.booleans())
    return anywhere | st.builds(Lifetime, st.integers(0, 4), st.booleans(), st.just(True))


class ClientDeaths(RuleBasedStateMachine):
    """Successive clients of one run."""

    aws: ClassVar[Emulator]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.run_id: str | None = None
        self.is_cancelled = False

    @initialize(
        tasks=pipelines(), backend=st.sampled_from(["batch", "sagemaker", "mixed"]), life=lives()
    )
    def launch(self, tasks: list[Task], backend: str, life: Lifetime) -> None:
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        environment = dict(self.aws.environment)
        environment["FLOWYML_AWS_STORE"] += f"/{uuid.uuid4().hex}"
        environment["FLOWYML_AWS_POLL_S"] = "0.2"
        self.rig = BackendRig(backend, folder / "project", environment)
        shape = {"tasks": tasks, "trace": str(self.rig.trace)}
        (self.rig.folder / "shape.json").write_text(json.dumps(shape))
        self.stack.enter_context(self.rig.entered())
        self.tasks, self.backend = tasks, backend_of(backend, tasks)
        self.pipeline = self.rig.pipeline("drawn")
        self.aws.calls.clear()
        with limited_lifetime(life):
            self.run_id = self.pipeline.submit(backend=self.backend).id
        if self.run_id is None:
            # The client died before it returned the id; a run exists if it has a record.
            self.run_id = self.recorded_run_id()

    @rule(life=lives())
    def attach_and_drive(self, life: Lifetime) -> None:
        if self.run_id is not None:
            with limited_lifetime(life):
                Run.attach(self.run_id).wait()

    @rule(life=lives())
    def attach_and_read_logs(self, life: Lifetime) -> None:
        if self.run_id is not None:
            with limited_lifetime(life):
                list(Run.attach(self.run_id).logs())

    @rule(life=lives())
    def cancel(self, life: Lifetime) -> None:
        if self.run_id is not None:
            self.is_cancelled = True
            with limited_lifetime(life):
                Run.attach(self.run_id).cancel()

    def teardown(self) -> None:
        with self.stack:
            if hasattr(self, "pipeline"):
                self.end()

    def end(self) -> None:
        if self.run_id is None:  # nothing was submitted, so submit it now
            self.run_id = self.pipeline.submit(backend=self.backend).id
        result = Run.attach(self.run_id).wait()
        ran = Counter(self.rig.ran())
        assert not {step: times for step, times in ran.items() if times > 1}
        # The last job may still be exiting: a job writes its result last.
        eventually(lambda: not self.aws.job_processes(), "the end of every job")
        submitted = Counter(c.resource for c in self.aws.calls if c.operation == "SubmitJob")
        assert set(submitted.values()) <= {1}, submitted
        if self.is_cancelled and not result.success:
            assert result.state == RunState.CANCELLED.value
            return
        assert result.success, result.to_dict()
        assert set(ran) == {f"s{number}" for number in range(len(self.tasks))}
        assert {number: result[f"a{number}"] for number in self.results()} == self.results()
        # SageMaker accepts a name once, so repeated requests create one training job for each job.
        created = {c.resource for c in self.aws.calls if c.operation == "CreateTrainingJob"}
        assert len(created) + len(submitted) == len(Run.attach(self.run_id).plan.jobs)

    def results(self) -> dict[int, int]:
        """Return the results of plain Python for the assets that no step reads."""
        values: list[int] = []
        for number, task in enumerate(self.tasks):
            values.append(number + sum(values[read] for read in task.reads))
        read = {number for task in self.tasks for number in task.reads}
        return {number: value for number, value in enumerate(values) if number not in read}

    def recorded_run_id(self) -> str | None:
        prefix = f"{self.rig.environment['FLOWYML_AWS_STORE'].split('/', 3)[3]}/runs/"
        listed = self.aws.client("s3").list_objects_v2(
            Bucket="flowyml-emulator-123456789012-us-east-1", Prefix=prefix
        )
        keys = [str(entry["Key"]) for entry in listed.get("Contents", ())]
        return next((key.split("/")[-2] for key in keys if key.endswith("/run.json")), None)


@pytest.fixture(scope="module", autouse=True)
def emulator() -> Iterator[None]:
    with (
        raised_emulator(propagation_s=0.5) as aws,
        pytest.MonkeyPatch.context() as patch,
    ):
        share_stores()
        ClientDeaths.aws = aws
        # The clients are known to be dead, so the next one need not wait for the lease to expire.
        patch.setattr(batch_submission, "_LEASE_S", 0.0)
        patch.setattr(batch_submission, "_PROOF_S", 0.0)
        patch.setattr(batch_submission, "LISTED_AFTER_S", 1.0)
        yield


ClientDeaths.TestCase.settings = examples(
    3,
    thorough=40,
    # No shrinking: examples are short, and each takes seconds.
    phases=[Phase.explicit, Phase.generate],
    stateful_step_count=4,
    suppress_health_check=list(HealthCheck),
)
TestClientDeaths = ClientDeaths.TestCase


@pytest.mark.parametrize("last_call_arrives", [False, True])
@pytest.mark.parametrize("backend", ["batch", "sagemaker"])
def test_a_job_whose_submission_was_its_clients_last_call_runs_once(
    backend: str, last_call_arrives: bool
) -> None:
    clients = ClientDeaths()
    dies_at_the_last_job = Lifetime(1, last_call_arrives, only_submissions=True)
    clients.launch([Task((), None), Task((0,), None)], backend, dies_at_the_last_job)
    clients.attach_and_drive(dies_at_the_last_job)
    clients.teardown()


def test_a_dead_client_makes_no_more_calls(tmp_path: Path) -> None:
    s3 = ClientDeaths.aws.client("s3")
    ClientDeaths.aws.calls.clear()
    outcomes = []
    with limited_lifetime(Lifetime(calls=1, last_call_arrives=True)):
        s3.list_buckets()
        for _ in range(2):
            try:
                s3.list_buckets()
            except ClientDeath:
                outcomes.append("died")
        raise ClientDeath
    assert outcomes == ["died", "died"]
    assert [call.operation for call in ClientDeaths.aws.calls] == ["ListBuckets"] * 2
