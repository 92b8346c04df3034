"""A client can die at any call to AWS; whoever attaches then goes on, and each step runs once.

Hypothesis draws a pipeline, a backend, and what its clients do before they die. AWS is the
emulator in this process: it does not die with them, and neither do the jobs.
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
from flowyml_aws.aws import batch
from flowyml_aws.submission.record import RunState
from flowyml_aws.testing import Emulator
from tests.support.effort import examples
from tests.support.mortal import Death, Life, lived
from tests.support.places import Place, eventually

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("client-deaths")]


class Task(NamedTuple):
    """A step: the steps that it reads, by number, and its group."""

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
    """What `submit` is given; `mixed` takes turns."""
    if name != "mixed":
        return name
    jobs = sorted({task.group or f"s{number}" for number, task in enumerate(tasks)})
    return {**dict.fromkeys(jobs[::2], "sagemaker"), "*": "batch"}


def lives() -> st.SearchStrategy[Life]:
    anywhere = st.builds(Life, st.integers(0, 60), st.booleans())
    return anywhere | st.builds(Life, st.integers(0, 4), st.booleans(), st.just(True))


class ClientDeaths(RuleBasedStateMachine):
    """Clients of one run, one after the other."""

    aws: ClassVar[Emulator]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.run_id: str | None = None
        self.is_cancelled = False

    @initialize(
        tasks=pipelines(), backend=st.sampled_from(["batch", "sagemaker", "mixed"]), life=lives()
    )
    def launch(self, tasks: list[Task], backend: str, life: Life) -> None:
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        environment = dict(self.aws.environment)
        environment["FLOWYML_AWS_STORE"] += f"/{uuid.uuid4().hex}"
        environment["FLOWYML_AWS_POLL_S"] = "0.05"
        self.place = Place(backend, folder / "project", environment)
        shape = {"tasks": tasks, "trace": str(self.place.trace)}
        (self.place.folder / "shape.json").write_text(json.dumps(shape))
        self.stack.enter_context(self.place.entered())
        self.tasks, self.backend = tasks, backend_of(backend, tasks)
        self.pipeline = self.place.pipeline("drawn")
        self.aws.calls.clear()
        with lived(life):
            self.run_id = self.pipeline.submit(self.backend).id
        if self.run_id is None:
            # The client can't tell its run's id any more; a run is what has a record.
            self.run_id = self.recorded()

    @rule(life=lives())
    def attach_and_drive(self, life: Life) -> None:
        if self.run_id is not None:
            with lived(life):
                Run.attach(self.run_id).wait()

    @rule(life=lives())
    def attach_and_look(self, life: Life) -> None:
        if self.run_id is not None:
            with lived(life):
                list(Run.attach(self.run_id).logs())

    @rule(life=lives())
    def cancel(self, life: Life) -> None:
        if self.run_id is not None:
            self.is_cancelled = True
            with lived(life):
                Run.attach(self.run_id).cancel()

    def teardown(self) -> None:
        with self.stack:
            if hasattr(self, "pipeline"):
                self.end()

    def end(self) -> None:
        if self.run_id is None:  # nothing was begun, so it is begun now
            self.run_id = self.pipeline.submit(self.backend).id
        result = Run.attach(self.run_id).wait()
        ran = Counter(self.place.ran())
        assert not {step: times for step, times in ran.items() if times > 1}
        # The last job is about to end: its result is the last that it writes.
        eventually(lambda: not self.aws.job_processes(), "the end of every job")
        submitted = Counter(c.resource for c in self.aws.calls if c.operation == "SubmitJob")
        assert set(submitted.values()) <= {1}, submitted
        if self.is_cancelled and not result.success:
            assert result.state == RunState.CANCELLED.value
            return
        assert result.success, result.to_dict()
        assert set(ran) == {f"s{number}" for number in range(len(self.tasks))}
        assert {number: result[f"a{number}"] for number in self.results()} == self.results()
        # SageMaker takes a name once, so a job has one training job however often it was asked for.
        created = {c.resource for c in self.aws.calls if c.operation == "CreateTrainingJob"}
        assert len(created) + len(submitted) == len(Run.attach(self.run_id).plan.jobs)

    def results(self) -> dict[int, int]:
        """What plain Python gives, of the assets that nobody reads."""
        values: list[int] = []
        for number, task in enumerate(self.tasks):
            values.append(number + sum(values[read] for read in task.reads))
        read = {number for task in self.tasks for number in task.reads}
        return {number: value for number, value in enumerate(values) if number not in read}

    def recorded(self) -> str | None:
        prefix = f"{self.place.environment['FLOWYML_AWS_STORE'].split('/', 3)[3]}/runs/"
        listed = self.aws.client("s3").list_objects_v2(Bucket="flowyml-aws-emulator", Prefix=prefix)
        keys = [str(entry["Key"]) for entry in listed.get("Contents", ())]
        return next((key.split("/")[-2] for key in keys if key.endswith("/run.json")), None)


@pytest.fixture(scope="module", autouse=True)
def emulator() -> Iterator[None]:
    with Emulator() as aws, pytest.MonkeyPatch.context() as patch:
        ClientDeaths.aws = aws
        # The dead are known to be dead here: nobody need wait a minute for a sign of life.
        patch.setattr(batch, "_SILENCE_S", 0.0)
        yield


ClientDeaths.TestCase.settings = examples(
    3,
    thorough=40,
    phases=[Phase.explicit, Phase.generate],  # what fails is short, and each try takes seconds
    stateful_step_count=4,
    suppress_health_check=list(HealthCheck),
)
TestClientDeaths = ClientDeaths.TestCase


@pytest.mark.parametrize("is_heard", [False, True])
@pytest.mark.parametrize("backend", ["batch", "sagemaker"])
def test_a_job_whose_submission_was_its_clients_last_call_runs_once(
    backend: str, is_heard: bool
) -> None:
    clients = ClientDeaths()
    dies_at_the_last_job = Life(1, is_heard, is_of_jobs=True)
    clients.launch([Task((), None), Task((0,), None)], backend, dies_at_the_last_job)
    clients.attach_and_drive(dies_at_the_last_job)
    clients.teardown()


def test_a_dead_client_calls_no_more(tmp_path: Path) -> None:
    s3 = ClientDeaths.aws.client("s3")
    ClientDeaths.aws.calls.clear()
    ends = []
    with lived(Life(calls=1, is_heard=True)):
        s3.list_buckets()
        for _ in range(2):
            try:
                s3.list_buckets()
            except Death:
                ends.append("died")
        raise Death
    assert ends == ["died", "died"]
    assert [call.operation for call in ClientDeaths.aws.calls] == ["ListBuckets"] * 2
