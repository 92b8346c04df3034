from __future__ import annotations

import math

from flowyml_aws.report.data import (
    AssetEntry,
    FailureEntry,
    JobEntry,
    Segment,
    SegmentKind,
)
from flowyml_aws.report.maps import dropped_text, fewer_assets, fewer_failures, lanes, map_tables
from flowyml_aws.report.outline import outline
from flowyml_aws.submission.backend import JobState
from tests.support.reports import a_report, a_sweep

COMPUTE = SegmentKind.COMPUTE


def a_job(number: int, *segments: tuple[float, float], **changes: object) -> JobEntry:
    members = {
        "name": f"train-{number}",
        "steps": (f"train[{number}]",),
        "mapped": ("train",),
        "state": JobState.SUCCEEDED,
        "backend": "batch",
        "target": "cpu",
        "vcpus": 1,
        "memory_mib": 2048,
        "segments": [Segment(kind=COMPUTE, started_at=a, ended_at=b) for a, b in segments],
    }
    return JobEntry.model_validate({**members, **changes})


def test_all_jobs_of_a_map_are_one_lane_with_its_worst_state() -> None:
    best = a_job(
        9,
        name="best",
        mapped=(),
        steps=("best",),
        edges={f"train-{number}": (f"model[{number}]",) for number in range(2)},
    )
    first, second = lanes([a_job(0), a_job(1, state=JobState.FAILED), best])
    assert (first.name, first.state) == ("train ×2", JobState.FAILED)
    assert first.steps == ("train", "1 succeeded, 1 failed")
    assert second.edges == {"train ×2": ("model",)}


def test_periods_of_a_lane_are_joined_if_they_overlap() -> None:
    (lane,) = lanes([a_job(0, (0, 4), (9, 10)), a_job(1, (3, 6))])
    assert [(each.started_at, each.ended_at) for each in lane.segments] == [(0, 6), (9, 10)]


def test_the_graph_has_one_node_for_a_map() -> None:
    (node,) = outline(lanes([a_job(number) for number in range(500)]))
    assert (node.title, node.lines) == ("train ×500", ("train", "500 succeeded"))


def test_the_table_of_a_map_has_parameters_and_metrics_and_failed_items_first() -> None:
    (table,) = map_tables(a_sweep())
    assert table["columns"] == ["item", "state", "rate", "loss", "seconds", "job", "reason"]
    assert table["rows"][0] == [
        "train[2]",
        "failed, dropped",
        "0.2",
        None,
        1.5,
        "train-2",
        "ValueError: diverged",
    ]
    assert table["rows"][1][:4] == ["train[0]", "succeeded", "0.0", 1.0]
    assert table["numbers"] == [3, 4]


def test_a_metric_that_is_no_number_is_a_text_in_the_table() -> None:
    (entry,) = a_sweep().maps
    item = entry.items[0].model_copy(update={"metrics": {"loss": math.nan}})
    broken = entry.model_copy(update={"items": (item,)})
    (table,) = map_tables(a_report(3).model_copy(update={"maps": (broken,)}))
    assert table["rows"][0][3] == "nan"


def test_a_report_says_how_many_items_were_dropped() -> None:
    assert dropped_text(a_sweep()) == "1 of 3 items of train"
    assert dropped_text(a_report(3)) == ""


def test_at_most_five_failures_of_a_map_are_shown() -> None:
    failures = [
        FailureEntry(job=f"train-{number}", step=f"train[{number}]", reason="no rows")
        for number in range(9)
    ]
    other = FailureEntry(job="best", step="best", reason="no rows")
    kept = fewer_failures([*failures, other], [a_job(number) for number in range(9)])
    assert kept == [*failures[:5], other]


def test_the_values_of_a_map_are_one_row() -> None:
    values = [
        AssetEntry(
            name=f"model[{number}]", step=f"train[{number}]", run_id="r", uri="u", size_bytes=4
        )
        for number in range(2)
    ]
    values.append(AssetEntry(name="model[2]", step="train[2]", run_id="r", note="dropped"))
    report = a_sweep().model_copy(update={"assets": tuple(values)})
    (entry,) = fewer_assets(report)
    assert (entry.name, entry.step, entry.size_bytes) == ("model", "train", 8)
    assert entry.note is not None and entry.note.startswith("2 of 3 items stored; print them")
