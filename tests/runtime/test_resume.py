"""A later attempt of a job resumes after the last step that an earlier attempt completed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws import step
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.values import load_value
from flowyml_aws.core.arguments import Arguments
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.interruption import Interruption
from flowyml_aws.runtime.result import AttemptEvents, StepReport, StepState
from flowyml_aws.runtime.resume import done_before
from flowyml_aws.runtime.runner import JobRunner
from flowyml_aws.runtime.spec import StepPart, StepSpec
from tests.runtime.harness import WrittenRun

RAN: list[str] = []
FAILS: set[str] = set()
WANTED: set[str] = set()


def record(name: str) -> None:
    RAN.append(name)
    if name in FAILS:
        raise RuntimeError


@step(outputs=["a"], execution_group="g", cache="code_hash")
def first():
    record("first")
    return 1


@step(inputs=["a"], outputs=["b"], execution_group="g")
def second(a):
    record("second")
    return a + 1


@step(inputs=["b"], outputs=["c"], execution_group="g", condition=lambda b: bool(WANTED))
def third(b):
    record("third")
    return b + 1


@step(inputs=["c"], outputs=["d"], execution_group="g")
def fourth(c):
    record("fourth")
    return c + 1


@step(inputs=["b"], outputs=["e"], execution_group="g")
def fifth(b):
    record("fifth")
    return b * 10


STEPS = (first, second, third, fourth, fifth)


@pytest.fixture(autouse=True)
def reset() -> None:
    RAN.clear()
    FAILS.clear()
    WANTED.clear()


def run_attempt(run: WrittenRun, number: int) -> Attempt:
    """Run an attempt in this process, and write its events."""
    RAN.clear()
    attempt = Attempt.begin(run.spec(), run.store, number)
    runner = JobRunner(
        attempt=attempt,
        steps=run.steps,
        context={},
        roots=(),
        scratch=run.folder / "assets",
        interruption=Interruption(),
    )
    assert runner.run() is not bool(FAILS)
    run.store.put(
        events_key(run, number), events_of(attempt.progress.reports, attempt.assets).to_json()
    )
    return attempt


def events_of(
    reports: Sequence[StepReport], assets: Mapping[str, ArtifactRef], attempt: int = 1
) -> AttemptEvents:
    return AttemptEvents(attempt=attempt, steps=tuple(reports), assets=dict(assets))


def events_key(run: WrittenRun, number: int) -> str:
    return run.layout.attempt(run.spec().job, number, "events.json")


def states(attempt: Attempt) -> list[str]:
    return [report.state.value for report in attempt.progress.reports]


def test_a_step_whose_assets_were_stored_does_not_run_again(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path, first, second)
    FAILS.add("second")
    run_attempt(run, 1)
    FAILS.clear()
    again = run_attempt(run, 2)
    assert RAN == ["second"]
    assert states(again) == ["succeeded", "succeeded"]
    assert load_value(run.store, again.assets["b"], "b", tmp_path / "loaded") == 2
    assert load_value(run.store, again.assets["a"], "a", tmp_path / "loaded") == 1


def test_a_step_runs_again_for_a_value_that_was_not_stored(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path, *STEPS)
    FAILS.add("fifth")
    run_attempt(run, 1)
    assert RAN == ["first", "second", "fifth"]
    FAILS.clear()
    again = run_attempt(run, 2)
    assert RAN == ["second", "fifth"]
    assert load_value(run.store, again.assets["e"], "e", tmp_path / "loaded") == 20


def test_a_skipped_step_stays_skipped(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path, *STEPS)
    FAILS.add("fifth")
    run_attempt(run, 1)
    FAILS.clear()
    WANTED.add("third")  # its condition would be true now
    again = run_attempt(run, 2)
    assert states(again) == ["succeeded", "succeeded", "skipped", "skipped", "succeeded"]
    assert list(again.skipped) == ["c", "d"]
    assert list(again.commit("succeeded").skipped) == ["c", "d"]


def test_a_third_attempt_resumes_after_the_second(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path, first, second)
    for number in (1, 2):
        FAILS.add("second")
        run_attempt(run, number)
    FAILS.clear()
    run_attempt(run, 3)
    assert RAN == ["second"]


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"{}", None], ids=["empty", "truncated", "invalid", "missing"]
)
def test_damaged_events_are_ignored(tmp_path: Path, damage: bytes | None) -> None:
    run = WrittenRun(tmp_path, first, second)
    FAILS.add("second")
    run_attempt(run, 1)
    FAILS.clear()
    if damage is None:
        run.store.path(events_key(run, 1)).unlink()
    else:
        run.store.put(events_key(run, 1), damage)
    again = run_attempt(run, 2)
    assert RAN == ["first", "second"]
    assert states(again) == ["succeeded", "succeeded"]


def chain(length: int, stored: Collection[int], skipped: Collection[int]) -> list[StepSpec]:
    """Return steps that each read the outputs of the two steps before, except skipped outputs."""
    made = [n for n in range(length) if n not in skipped]
    return [
        StepSpec(
            name=f"s{n}",
            reads=tuple(f"a{m}" for m in made if n - 2 <= m < n),
            arguments=Arguments(),
            outputs=(f"a{n}",),
            stored=(f"a{n}",) if n in stored or n == length - 1 else (),
            retry=0,
            retry_delay_s=0,
            timeout_s=None,
        )
        for n in range(length)
    ]


def ref(asset: str) -> ArtifactRef:
    return ArtifactRef(uri=f"x/{asset}", sha256=asset.rjust(64, "0"), size_bytes=1, codec="json/1")


@given(data=st.data(), length=st.integers(1, 7))
def test_the_last_attempt_has_all_assets_whenever_earlier_attempts_die(
    data: st.DataObject, length: int
) -> None:
    numbers = st.sets(st.integers(0, length - 1))
    skipped = data.draw(numbers)
    specs = chain(length, data.draw(numbers), skipped)
    deaths = data.draw(st.lists(st.integers(0, length - 1), max_size=3))
    events: list[AttemptEvents] = []
    for death in [*deaths, length]:
        done, assets = done_before(specs, events)
        memory: set[str] = set()
        reports = dict(done)
        for number, spec in enumerate(specs[:death]):
            if spec.name in done:
                continue
            state = StepState.SKIPPED if number in skipped else StepState.SUCCEEDED
            if state is StepState.SUCCEEDED:
                missing = set(spec.reads) - memory - assets.keys()
                assert not missing, f"{spec.name} lacks {missing}"
                memory.update(spec.outputs)
                assets.update({asset: ref(asset) for asset in spec.stored})
            reports[spec.name] = StepReport(name=spec.name, state=state)
        events.append(events_of(list(reports.values()), assets, len(events) + 1))
    assert reports.keys() == {spec.name for spec in specs}
    expected = {asset for n, spec in enumerate(specs) if n not in skipped for asset in spec.stored}
    assert assets.keys() == expected


@given(stored=st.sets(st.integers(0, 5)), death=st.integers(0, 6))
def test_no_step_runs_again_if_its_values_are_stored(stored: set[int], death: int) -> None:
    specs = chain(6, stored, ())
    reports = [StepReport(name=spec.name, state=StepState.SUCCEEDED) for spec in specs[:death]]
    assets = {asset: ref(asset) for spec in specs[:death] for asset in spec.stored}
    done, kept = done_before(specs, [events_of(reports, assets)])
    assert {spec.name for spec in specs[:death] if spec.stored} <= done.keys()
    assert kept == assets


def test_the_part_of_a_map_runs_again_after_its_completed_items() -> None:
    (item,) = chain(1, {0}, ())
    part = StepPart(number=0, count=1, lists={"shards": "shards"}, length=1, positions=(0,))
    ended = item.model_copy(update={"name": "s{1/1}", "outputs": ("a{1/1}",), "part": part})
    reports = [StepReport(name=n, state=StepState.SUCCEEDED) for n in ("s0", "s{1/1}")]
    done, assets = done_before([item, ended], [events_of(reports, {"a0": ref("a0")})])
    assert done.keys() == {"s0"}
    assert assets.keys() == {"a0"}
