"""Items of a map in one job: their outputs are stored together, and before the job ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import step
from flowyml_aws.artifacts.content import Parts
from flowyml_aws.artifacts.layout import CACHE
from flowyml_aws.artifacts.list_index import ListIndex, ListItem
from flowyml_aws.artifacts.values import save_value
from flowyml_aws.core.arguments import Argument, Arguments
from flowyml_aws.core.errors import ArtifactNotFoundError, AwsUnavailableError
from flowyml_aws.core.maps import FailureRule
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.exit_codes import STEP_FAILED
from flowyml_aws.runtime.inputs import JobInputs
from flowyml_aws.runtime.interruption import Interrupted, Interruption
from flowyml_aws.runtime.parts import expand_parts
from flowyml_aws.runtime.program import Program
from flowyml_aws.runtime.result import AttemptEvents, StepFailure, read_result
from flowyml_aws.runtime.runner import JobRunner
from flowyml_aws.runtime.spec import (
    AssetSource,
    CodeSource,
    GatheredAsset,
    JobSpec,
    StepCache,
    StepPart,
    StepSpec,
    StoredObject,
)

OBJECT = StoredObject(key="k", sha256="0" * 64, size_bytes=1)
ITEMS = 4
ACTIONS: dict[int, Callable[[], Any]] = {}
RAN: list[int] = []


@step(outputs=["squares"])
def square(number: int) -> Any:
    RAN.append(number)
    return ACTIONS.get(number, lambda: number * number)()


@pytest.fixture(autouse=True)
def reset() -> None:
    ACTIONS.clear()
    RAN.clear()


class WatchedStore(DirectoryArtifactStore):
    """A store that records the objects that are read, and that may not answer."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads: list[str] = []
        self.answers = True

    def get(self, key: str) -> bytes:
        self.reads.append(key)
        return super().get(key)

    def read_into(self, key: str, offset: int, buffer: memoryview) -> int:
        self.reads.append(key)
        return super().read_into(key, offset, buffer)

    def upload(self, key: str, content: Parts) -> None:
        if not self.answers:
            raise AwsUnavailableError("S3 does not answer", "an outage", "wait")
        super().upload(key, content)

    def cached(self) -> int:
        return sum(1 for _ in self.walk(CACHE))


@pytest.fixture
def store(tmp_path: Path) -> WatchedStore:
    return WatchedStore(tmp_path / "store")


def an_item(number: int, rule: FailureRule) -> StepSpec:
    asset = f"number[{number}]"
    output = f"squares[{number}]"
    return StepSpec(
        name=f"square[{number}]",
        declared="square",
        reads=(asset,),
        arguments=Arguments((Argument("asset", asset),)),
        outputs=(output,),
        stored=(output,),
        retry=0,
        retry_delay_s=0,
        timeout_s=None,
        on_failure=rule,
        cache=StepCache(
            identity="code",
            assets={asset: None},
            machine="",
            ask=False,
            labels={asset: "number"},
        ),
    )


def a_spec(job: str, steps: tuple[StepSpec, ...], **fields: Any) -> JobSpec:
    return JobSpec(
        store="file:///store",
        run_id="r",
        pipeline="p",
        job=job,
        python="3.12",
        code=CodeSource(bundle=OBJECT, in_place=False, root="/", program=Program(paths=())),
        payload=OBJECT,
        steps=steps,
        **fields,
    )


def a_runner(
    store: WatchedStore, folder: Path, rule: FailureRule = "finish", attempt: int = 1
) -> JobRunner:
    """Return the runner of a job with all items."""
    steps = tuple(an_item(number, rule) for number in range(ITEMS))
    refs = {f"number[{number}]": save_value(store, "number", number) for number in range(ITEMS)}
    sources = {asset: AssetSource(ref=ref) for asset, ref in refs.items()}
    return JobRunner(
        attempt=Attempt.begin(a_spec("squares", steps, assets=sources), store, attempt),
        steps={"square": square},
        context={},
        roots=(),
        scratch=folder,
        interruption=Interruption(),
    )


def states(runner: JobRunner) -> list[str]:
    return [report.state.value for report in runner.attempt.progress.reports]


def a_reader(store: WatchedStore, folder: Path) -> JobInputs:
    """Return the inputs of a job that reads the list of all squares."""
    items = tuple(f"squares[{number}]" for number in range(ITEMS))
    spec = a_spec(
        "sum",
        (an_item(0, "finish"),),
        assets={item: AssetSource(job="squares") for item in items},
        gathered={"squares": GatheredAsset(items=items)},
    )
    return JobInputs(Attempt.begin(spec, store, 1), folder)


def raise_(error: BaseException) -> Callable[[], Any]:
    def action() -> Any:
        raise error

    return action


def test_a_reader_of_the_list_reads_only_the_result_of_the_job(
    store: WatchedStore, tmp_path: Path
) -> None:
    runner = a_runner(store, tmp_path)
    assert runner.run()
    runner.attempt.commit("succeeded")
    reader = a_reader(store, tmp_path)
    store.reads.clear()
    assert reader.load(["squares"]) == {"squares": [0, 1, 4, 9]}
    assert store.reads == ["runs/r/jobs/squares/result.json"]


def test_a_reader_of_larger_values_reads_each_pack_once(
    store: WatchedStore, tmp_path: Path
) -> None:
    ACTIONS.update({n: partial(bytes, [n] * 60_000) for n in range(ITEMS)})
    runner = a_runner(store, tmp_path)
    assert runner.run()
    runner.attempt.commit("succeeded")
    assert sum(map(len, runner.attempt.outputs.contents.values())) == 60_000
    reader = a_reader(store, tmp_path)
    store.reads.clear()
    assert reader.load(["squares"])["squares"] == [bytes([n]) * 60_000 for n in range(ITEMS)]
    packs = {ref.key for ref in runner.attempt.assets.values()}
    assert len(store.reads) <= 1 + len(packs) <= 1 + ITEMS


def test_values_in_a_result_are_also_stored(store: WatchedStore, tmp_path: Path) -> None:
    runner = a_runner(store, tmp_path)
    runner.run()
    runner.attempt.commit("succeeded")
    result = read_result(store, "r", "squares")
    assert result is not None
    without = result.model_copy(update={"contents": {}})
    store.delete(["runs/r/jobs/squares/result.json"])
    store.put("runs/r/jobs/squares/result.json", without.to_json())
    assert a_reader(store, tmp_path).load(["squares"]) == {"squares": [0, 1, 4, 9]}


def test_a_missing_pack_fails_its_reader_for_all_values_in_it(
    store: WatchedStore, tmp_path: Path
) -> None:
    """So that the job that produced them is executed again."""
    ACTIONS.update({n: partial(bytes, [n] * 60_000) for n in range(ITEMS)})
    runner = a_runner(store, tmp_path)
    runner.run()
    runner.attempt.commit("succeeded")
    last = runner.attempt.assets[f"squares[{ITEMS - 1}]"]
    store.delete([last.key])
    reader = a_reader(store, tmp_path)
    with pytest.raises(ArtifactNotFoundError, match="flowyml-aws resume r"):
        reader.load(["squares"])
    assets = runner.attempt.assets.items()
    assert set(reader.attempt.damaged) == {asset for asset, ref in assets if ref.key == last.key}


def test_a_part_of_a_produced_list_is_read_with_its_index(
    store: WatchedStore, tmp_path: Path
) -> None:
    runner = a_runner(store, tmp_path)
    sources = runner.attempt.spec.assets
    refs = (sources[f"number[{number}]"].ref for number in range(ITEMS))
    items = tuple(ListItem(position=number, ref=ref) for number, ref in enumerate(refs))
    part = an_item(0, "finish").model_copy(
        update={
            "name": "square{1/1}",
            "reads": ("number",),
            "arguments": Arguments((Argument("asset", "number"),)),
            "outputs": ("squares{1/1}",),
            "stored": ("squares{1/1}",),
            "cache": None,
            "part": StepPart(number=0, count=1, lists={"number": "number"}),
        }
    )
    spec = a_spec("squares", (part,), assets={"number": sources["number[0]"]})
    expanded = expand_parts(spec, {"number": ListIndex(length=ITEMS, items=items)})
    attempt = Attempt.begin(expanded, store, 1)
    assert replace(runner, attempt=attempt).run()
    attempt.commit("succeeded")

    parts = GatheredAsset(items=("squares{1/1}",), in_parts=True)
    sources = {"squares{1/1}": AssetSource(job="squares")}
    spec = a_spec("sum", (part,), assets=sources, gathered={"squares": parts})
    reader = JobInputs(Attempt.begin(spec, store, 1), tmp_path)
    store.reads.clear()
    assert reader.load(["squares"]) == {"squares": [0, 1, 4, 9]}
    assert store.reads == ["runs/r/jobs/squares/result.json"]


def test_each_item_has_its_own_cache_entry(store: WatchedStore, tmp_path: Path) -> None:
    runner = a_runner(store, tmp_path)
    assert runner.run()
    assert states(runner) == ["succeeded"] * ITEMS
    assert store.cached() == ITEMS


def test_the_first_failed_item_ends_the_job_after_the_outputs_of_others_are_stored(
    store: WatchedStore, tmp_path: Path
) -> None:
    ACTIONS[2] = raise_(ValueError("bad"))
    runner = a_runner(store, tmp_path, "stop")
    assert not runner.run()
    assert states(runner) == ["succeeded", "succeeded", "failed", "waiting"]
    assert runner.attempt.assets.keys() == {"squares[0]", "squares[1]"}
    assert store.cached() == 2


def test_a_value_that_can_not_be_stored_fails_its_item_alone(
    store: WatchedStore, tmp_path: Path
) -> None:
    ACTIONS[2] = lambda: (number for number in range(3))
    runner = a_runner(store, tmp_path)
    assert not runner.run()
    assert states(runner) == ["succeeded", "succeeded", "failed", "succeeded"]


def test_a_job_that_is_stopped_keeps_the_items_that_have_ended(
    store: WatchedStore, tmp_path: Path
) -> None:
    ACTIONS[2] = raise_(Interrupted())
    first = a_runner(store, tmp_path)
    with pytest.raises(Interrupted):
        first.run()
    assert states(first) == ["succeeded", "succeeded", "running", "waiting"]
    assert store.cached() == 2

    attempt = first.attempt
    events = AttemptEvents(attempt=1, steps=attempt.progress.reports, assets=attempt.assets)
    store.put("runs/r/jobs/squares/attempts/1/events.json", events.to_json())
    ACTIONS.clear()
    RAN.clear()
    second = a_runner(store, tmp_path, attempt=2)
    assert second.run()
    assert RAN == [2, 3]


def test_a_process_that_ends_at_a_time_limit_keeps_the_items_that_have_ended(
    store: WatchedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread ends the process, which does not return from the step."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    runner = a_runner(store, tmp_path, "stop")

    def stop() -> None:
        stuck = StepFailure(kind="StepTimeout", message="it ran longer than its timeout")
        runner._end_process(runner.attempt.spec.steps[2], stuck)

    ACTIONS[2] = stop
    runner.run()
    result = read_result(store, "r", "squares")
    assert result is not None
    assert [report.state.value for report in result.steps][:3] == ["succeeded"] * 2 + ["failed"]
    assert result.assets.keys() == {"squares[0]", "squares[1]"}
    assert codes == [STEP_FAILED]


def test_an_item_whose_outputs_are_not_stored_has_not_ended(
    store: WatchedStore, tmp_path: Path
) -> None:
    runner = a_runner(store, tmp_path)
    store.answers = False
    with pytest.raises(AwsUnavailableError):
        runner.run()
    report = runner.attempt.progress["square[0]"]
    assert (report.state.value, report.reason) == ("running", "its outputs are not stored")
    assert runner.attempt.assets == {}
    assert store.cached() == 0
