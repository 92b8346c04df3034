"""Logged values in a page."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.report.data import RunReport, StepEntry
from flowyml_aws.report.logged import curve_count, fit_logged, metric_rows, thin_metric
from flowyml_aws.report.page import to_html
from flowyml_aws.report.tables import step_rows
from flowyml_aws.runtime.logged import LoggedImage, LoggedText, StepLogged
from flowyml_aws.runtime.result import StepState
from tests.report.test_page import Tags, table_rows
from tests.support.reports import a_report, a_series, a_sweep, logged_values, with_logged


def a_step(logged: StepLogged | None, name: str = "train") -> StepEntry:
    return StepEntry(name=name, job=name, state=StepState.SUCCEEDED, logged=logged)


def test_the_metrics_of_all_steps_are_one_table() -> None:
    loss = StepLogged(metrics={"loss": a_series([3.0, 1.0, 2.0])})
    rows = list(metric_rows([a_step(None), a_step(loss, "fit"), a_step(loss, "tune")]))
    assert [(row.step, row.name) for row in rows] == [("fit", "loss"), ("tune", "loss")]
    assert (rows[0].last, rows[0].low, rows[0].high, rows[0].count) == (2.0, 1.0, 3.0, 3)


METRICS = ("loss", "val/accuracy")


def test_a_page_has_the_table_and_a_part_for_the_step() -> None:
    page = to_html(with_logged(a_report(3, log_lines=1), logged_values()))
    # The table of starts has a row of this job, too.
    rows = [row for row in table_rows(page) if row[0] == "prepare" and row[1] in METRICS]
    assert rows == [
        ["prepare", "loss", "0.076867", "0.00880377", "2.3", "60"],
        ["prepare", "val/accuracy", "0.973251", "0.973251", "0.973251", "1"],
    ]
    text = " ".join(Tags(page).text.split())
    assert "1 curve 3 values" in text
    assert 'href="#logged"' in page
    assert 'href="#logged"' not in to_html(a_report(3, log_lines=1))


def test_a_step_has_curves_images_tables_strings_and_what_is_left_out() -> None:
    (part,) = fit_logged([a_step(logged_values())], 300).parts
    details = part.to_dict()
    assert [metric["name"] for metric in details["metrics"]] == ["loss"]  # not a single point
    previews = {value["name"]: value["preview"] for value in details["values"]}
    assert previews["digit"]["image"].startswith("data:image/png;base64,iVBOR")
    assert previews["misread"]["rows"] == [["8", "3"], ["9", ""]]
    assert previews["misread"]["shape"] == [25, 2]
    assert previews["note"]["text"].startswith("the best of <b>4</b> candidates\n… the end was")
    assert details["missing"] == ["big: a step keeps at most 20 tables"]


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=400), st.integers(3, 50))
def test_a_thin_metric_keeps_the_extremes_and_the_last_point(
    values: list[float], points: int
) -> None:
    series = a_series(values)
    thin = thin_metric(series, points)
    assert len(thin.values) == len(thin.steps) == len(thin.times) <= max(points, 3)
    assert (min(thin.values), max(thin.values)) == (min(values), max(values))
    assert (thin.steps[-1], thin.values[-1]) == (series.steps[-1], series.values[-1])
    assert list(thin.steps) == sorted(set(thin.steps))


def test_what_does_not_fit_is_named() -> None:
    draw = random.Random(0)
    text = StepLogged(texts={"log": LoggedText(text=draw.randbytes(8_000).hex())})
    image = StepLogged(images={"image": LoggedImage(media_type="image/png", data="x" * 40_000)})
    steps = [a_step(logged, f"step-{i}") for i in range(10) for logged in (text, image)]
    fitted = fit_logged(steps, 300)
    assert fitted.text_bytes <= 60_000 and fitted.image_bytes == 160_000
    assert fitted.omitted == 4 + 6
    assert fitted.parts[-1].missing == {"image": "the page has too many images"}
    assert "the page has too many tables and strings" in fitted.parts[-2].missing.values()


def test_many_curves_are_limited() -> None:
    many = StepLogged(metrics={f"m{i}": a_series([1.0, 2.0]) for i in range(100)})
    steps = [a_step(many, f"step-{i}") for i in range(11)]
    assert curve_count(steps) == 1000
    assert fit_logged(steps, 20).omitted == 100


def test_a_page_with_many_logged_values_stays_below_its_maximum_size() -> None:
    draw = random.Random(0)
    logged = StepLogged(
        metrics={f"metric {i}": a_series([draw.random() for _ in range(500)]) for i in range(20)},
        texts={"text": LoggedText(text=draw.randbytes(8_000).hex())},
        images={"image": LoggedImage(media_type="image/png", data=draw.randbytes(15_000).hex())},
    )
    report = a_report(50, failed=True, log_lines=2000)
    steps = tuple(step.model_copy(update={"logged": logged}) for step in report.steps)
    page = to_html(report.model_copy(update={"steps": steps}))
    assert len(page.encode()) <= 10**6
    text = Tags(page).text
    assert "800 of 1,000 metrics in the table of metrics." in text
    assert "logged values; the steps name them." in text


def test_steps_after_the_tenth_are_folded() -> None:
    report = a_report(12, log_lines=1, periods=0)
    steps = tuple(step.model_copy(update={"logged": logged_values()}) for step in report.steps)
    page = to_html(report.model_copy(update={"steps": steps}))
    assert page.count('class="logged"') == 12
    assert page.index(">2 more steps<") < page.index('id="logged-10"')
    assert page.count('id="logged-part-') == 1


def test_the_figures_contain_the_last_values() -> None:
    report = with_logged(a_report(2, log_lines=1, periods=0), logged_values(points=1))
    rows = list(step_rows(report))
    assert rows[0]["metrics"] == '{"loss": 2.3, "val/accuracy": 0.973251}'
    assert rows[1]["metrics"] is None
    again = RunReport.model_validate_json(report.to_json())
    assert again.steps[0].logged == logged_values(points=1)


def test_the_metrics_of_items_are_only_in_the_table_of_their_map() -> None:
    report = a_sweep()
    steps = [
        step.model_copy(update={"name": f"train[{number}]", "logged": logged_values()})
        for number, step in enumerate(report.steps)
    ]
    page = to_html(report.model_copy(update={"steps": tuple(steps[:3])}))
    assert not [row for row in table_rows(page) if row[0] == "train[1]" and len(row) == 6]
