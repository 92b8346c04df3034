"""Logged values of the steps of a job, in the store."""

from __future__ import annotations

import base64
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import log_image, log_metric, log_table, log_text, step
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.interruption import Interruption
from flowyml_aws.runtime.logged import JobLogged, LoggedImage, LoggedTable, LoggedText, read_logged
from flowyml_aws.runtime.runner import JobRunner
from flowyml_aws.runtime.step_log import MAX_METRICS, MAX_POINTS, StepLog
from tests.runtime.harness import RUN, WrittenRun, until

PNG = b"\x89PNG\r\n\x1a\n"


def logged(run: WrittenRun, attempt: int = 1) -> JobLogged:
    document = read_logged(run.store, RUN, run.plan.jobs[0].name, attempt)
    assert document is not None
    return document


@step(outputs=["model"], execution_group="g")
def train():
    for epoch in range(3):
        log_metric("loss", 1 / (epoch + 1), step=epoch)
    log_metric("rows", 7)
    log_image("plot", PNG)
    log_table("head", [{"a": 1}])
    log_text("note", "fine")
    return 1


def test_a_step_logs_every_kind_of_value(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path, train)
    assert run.runner().run()
    values = logged(run).steps["train"]
    loss = values.metrics["loss"]
    assert (loss.steps, loss.values, loss.last) == ((0, 1, 2), (1.0, 0.5, 1 / 3), 1 / 3)
    assert (loss.count, loss.low, loss.high) == (3, 1 / 3, 1.0)
    assert values.metrics["rows"].steps == (0,)
    assert base64.b64decode(values.images["plot"].data) == PNG
    assert values.tables["head"].rows == ((1,),)
    assert values.texts == {"note": LoggedText(text="fine")}


def test_notebooks_show_logged_images_and_tables() -> None:
    image = LoggedImage(media_type="image/png", data=base64.b64encode(PNG).decode())
    assert (image._repr_png_(), image._repr_jpeg_()) == (PNG, None)
    table = LoggedTable(columns=("<a>",), rows=((None,), (0.5,)), all_rows=500, all_columns=1)
    html = table._repr_html_()
    assert "&lt;a&gt;" in html and "0.5" in html and "500 rows × 1 columns" in html


def test_a_job_that_logs_nothing_writes_nothing(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path, step(outputs=["a"], name="quiet")(lambda: 1))
    assert run.runner().run()
    assert read_logged(run.store, RUN, run.plan.jobs[0].name, 1) is None
    assert "logged values" not in {thread.name for thread in threading.enumerate()}


def test_a_retry_replaces_what_the_failed_attempt_logged(tmp_path: Path) -> None:
    calls: list[int] = []

    @step(outputs=["a"], retry=2)
    def work() -> int:
        calls.append(1)
        log_metric("loss", len(calls))
        log_metric(f"call {len(calls)}", 1)
        if len(calls) < 3:
            raise ValueError
        return 1

    run = WrittenRun(tmp_path, work)
    assert run.runner(sleep=lambda _: None).run()
    metrics = logged(run).steps["work"].metrics
    assert set(metrics) == {"loss", "call 3"}
    assert (metrics["loss"].count, metrics["loss"].last) == (1, 3.0)


def test_a_failed_step_keeps_what_it_logged(tmp_path: Path) -> None:
    @step(outputs=["a"])
    def work() -> None:
        log_metric("loss", 5)
        raise ValueError

    run = WrittenRun(tmp_path, work)
    assert not run.runner().run()
    assert logged(run).steps["work"].metrics["loss"].last == 5


def test_a_later_attempt_keeps_the_values_of_completed_steps(tmp_path: Path) -> None:
    fails = [True]

    @step(inputs=["model"], outputs=["end"], execution_group="g")
    def finish(model: int) -> int:
        log_metric("done", 1)
        if fails:
            raise ValueError
        return model

    cached = step(outputs=["model"], execution_group="g", cache="code_hash", name="train")
    run = WrittenRun(tmp_path, cached(train.func), finish)

    def attempt(number: int) -> bool:
        attempt = Attempt.begin(run.spec(), run.store, number)
        key = run.layout.attempt(run.plan.jobs[0].name, number, "events.json")
        attempt.progress.start(run.store, key, 0.01)
        runner = JobRunner(
            attempt=attempt,
            steps=run.steps,
            context={},
            roots=(),
            scratch=tmp_path / "assets",
            interruption=Interruption(),
        )
        try:
            return runner.run()
        finally:
            attempt.progress.close()

    assert not attempt(1)
    fails.clear()
    assert attempt(2)
    assert logged(run, 2).steps["train"] == logged(run, 1).steps["train"]
    assert logged(run, 2).steps["finish"].metrics["done"].count == 1


def test_values_are_written_while_the_step_runs(tmp_path: Path) -> None:
    store = DirectoryArtifactStore(tmp_path)
    key = "runs/r/jobs/j/attempts/1/logged.json"
    log = StepLog(store, key, 1, interval_s=0.01)
    log.begin("train")
    log.metric("loss", 1.0, None)
    until(lambda: store.path(key).exists())
    log.metric("loss", 2.0, None)

    def last() -> Any:
        document = read_logged(store, "r", "j", 1)
        return document is not None and document.steps["train"].metrics["loss"].last == 2.0

    until(last)
    log.close()


def test_a_store_that_refuses_does_not_fail_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put = DirectoryArtifactStore.put

    def refuse(store: DirectoryArtifactStore, key: str, data: bytes) -> None:
        if key.endswith("logged.json"):
            raise AwsRefusedError(what="denied", why="policy", fix="change it")
        put(store, key, data)

    monkeypatch.setattr(DirectoryArtifactStore, "put", refuse)
    assert WrittenRun(tmp_path, train).runner().run()
    assert capsys.readouterr().err.count("could not write the logged values: denied") == 1


def finished(tmp_path: Path, *points: float) -> tuple[Any, ...]:
    store = DirectoryArtifactStore(tmp_path)
    log = StepLog(store, "runs/r/jobs/j/attempts/1/logged.json", 1)
    log.begin("train")
    for value in points:
        log.metric("loss", value, None)
    log.close()
    document = read_logged(store, "r", "j", 1)
    assert document is not None
    return document.steps["train"], document.steps["train"].metrics.get("loss")


@pytest.mark.parametrize("count", [1, MAX_POINTS, MAX_POINTS + 1, 3 * MAX_POINTS + 2])
def test_a_long_series_is_thinned_evenly_and_keeps_its_ends(tmp_path: Path, count: int) -> None:
    _, series = finished(tmp_path, *range(count))
    assert series.values == tuple(map(float, series.steps))
    assert len(series.values) <= MAX_POINTS + 1
    assert (series.values[0], series.last, series.count) == (0, count - 1, count)
    assert (series.low, series.high) == (0, count - 1)
    distances = {b - a for a, b in zip(series.steps[:-1], series.steps[1:-1], strict=False)}
    assert len(distances) <= 1


def test_values_that_are_not_finite_are_left_out_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values, series = finished(tmp_path, 1.0, float("nan"), float("inf"), 2.0)
    assert series.values == (1.0, 2.0)
    assert values.left_out == {"loss": "it was nan, which is not finite"}
    assert capsys.readouterr().err.count("a value of 'loss' was not logged") == 1


def test_the_number_of_metrics_is_limited(tmp_path: Path) -> None:
    store = DirectoryArtifactStore(tmp_path)
    log = StepLog(store, "runs/r/jobs/j/attempts/1/logged.json", 1)
    log.begin("train")
    for number in range(2 * MAX_METRICS):
        log.metric(f"metric {number}", 1.0, None)
    log.close()
    document = read_logged(store, "r", "j", 1)
    assert document is not None
    values = document.steps["train"]
    assert len(values.metrics) == MAX_METRICS
    assert values.left_out == {"…": f"only the first {MAX_METRICS} metrics of a step are kept"}


@pytest.mark.contract
def test_a_step_that_ignores_its_timeout_keeps_what_it_logged(tmp_path: Path) -> None:
    @step(name="stuck", timeout=0.1)
    def stuck() -> None:
        log_metric("loss", 1)
        while True:
            try:
                log_metric("loss", 2)
                time.sleep(5)
            except BaseException:
                continue

    run = WrittenRun(tmp_path, stuck)
    assert run.run(FLOWYML_TIMEOUT_GRACE_S="0.2").code != 0
    assert logged(run).steps["stuck"].metrics["loss"].last == 2


@pytest.mark.contract
def test_a_process_that_a_step_forks_logs_nothing(tmp_path: Path) -> None:
    @step(name="forking", outputs=["a"])
    def forking() -> int:
        log_metric("parent", 1)
        pid = os.fork()
        log_metric("parent", 2)
        if pid:
            os.waitpid(pid, 0)
        return 1

    run = WrittenRun(tmp_path, forking)
    assert run.run().code == 0
    assert logged(run).steps["forking"].metrics["parent"].count == 2
