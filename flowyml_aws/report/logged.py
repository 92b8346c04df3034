"""Logged values of steps in a page: a table of metrics, curves, images, tables and strings."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowyml_aws.report.data import Preview, StepEntry
from flowyml_aws.report.thinning import IMAGE_BYTES_PER_PAGE
from flowyml_aws.runtime.logged import LoggedTable, LoggedText, MetricSeries, StepLogged

__all__ = [
    "FittedLogged",
    "LoggedPart",
    "MetricRow",
    "curve_count",
    "fit_logged",
    "metric_rows",
    "thin_metric",
]

_MAX_CURVES = 1000
_BYTES_PER_PAGE, _BYTES_PER_STEP = 60_000, 500  # of tables and strings, compressed
_COUNTED_STEPS = 1000  # more of them do not make a page larger


@dataclass(frozen=True, slots=True)
class MetricRow:
    """A metric in the table of all steps.

    Attributes:
        last, low, high: Last, lowest and highest value that was logged.
        count: Number of points.
    """

    step: str
    name: str
    last: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class LoggedPart:
    """The logged values of a step that fit into a page.

    Attributes:
        metrics: Series with several points, by name; the table has the others, too.
        values: Images, tables and strings by name, as previews.
        missing: Names that the page or the run does not contain, with the reason.
        omitted: Number of those that only the page leaves out.
    """

    step: StepEntry
    metrics: Mapping[str, MetricSeries]
    values: Mapping[str, Preview]
    missing: Mapping[str, str]
    omitted: int

    def to_dict(self) -> dict[str, Any]:
        """Return what `report.js` shows."""
        return {
            "metrics": [
                {
                    "name": name,
                    "steps": series.steps,
                    "values": [float(f"{value:.5g}") for value in series.values],
                    "low": series.low,
                    "high": series.high,
                    "last": series.last,
                }
                for name, series in self.metrics.items()
            ],
            "values": [
                {"name": name, "preview": preview.model_dump(mode="json")}
                for name, preview in self.values.items()
            ],
            "missing": [f"{name}: {reason}" for name, reason in self.missing.items()],
        }


@dataclass(frozen=True, slots=True)
class FittedLogged:
    """The logged values that fit into a page.

    Attributes:
        parts: Values of each step that has logged more than metrics with a single point.
        text_bytes: Compressed size of the tables and strings.
        image_bytes: Size of the images in base64.
    """

    parts: tuple[LoggedPart, ...]
    text_bytes: int
    image_bytes: int

    @property
    def omitted(self) -> int:
        """Number of values that were logged, and that the page leaves out."""
        return sum(part.omitted for part in self.parts)


def metric_rows(steps: Sequence[StepEntry]) -> Iterator[MetricRow]:
    """Yield all metrics of the run, in the order of steps and names."""
    for step in steps:
        metrics = {} if step.logged is None else step.logged.metrics
        for name, series in metrics.items():
            yield MetricRow(
                step.name, name, series.last, series.low, series.high, max(1, series.count)
            )


def curve_count(steps: Sequence[StepEntry]) -> int:
    """Return the number of curves of metrics in a page."""
    curves = sum(len(_curves(step.logged)) for step in steps if step.logged is not None)
    return min(curves, _MAX_CURVES)


def fit_logged(steps: Sequence[StepEntry], points: int) -> FittedLogged:
    """Return the logged values that fit into a page, from the first step on.

    Args:
        steps: All steps.
        points: Largest number of points of a curve.
    """
    left = budget = max(_BYTES_PER_PAGE, _BYTES_PER_STEP * min(len(steps), _COUNTED_STEPS))
    images_left, curves_left = IMAGE_BYTES_PER_PAGE, _MAX_CURVES
    parts = []
    for step in steps:
        logged = step.logged
        if logged is None:
            continue
        missing: dict[str, str] = {}
        curves = _curves(logged)
        metrics = {
            name: thin_metric(series, points) for name, series in [*curves.items()][:curves_left]
        }
        curves_left -= len(metrics)
        missing |= {n: "the page has too many curves" for n in curves if n not in metrics}
        values: dict[str, Preview] = {}
        for name, image in logged.images.items():
            if len(image.data) > images_left:
                missing[name] = "the page has too many images"
                continue
            images_left -= len(image.data)
            data = f"data:{image.media_type};base64,{image.data}"
            values[name] = Preview(kind="image", image=data)
        for name, preview in _texts(logged):
            size = len(zlib.compress(preview.to_json()))
            if size > left:
                missing[name] = "the page has too many tables and strings"
                continue
            left -= size
            values[name] = preview
        omitted = len(missing)
        missing = logged.left_out | missing
        if metrics or values or missing:
            parts.append(LoggedPart(step, metrics, values, missing, omitted))
    return FittedLogged(tuple(parts), budget - left, IMAGE_BYTES_PER_PAGE - images_left)


def thin_metric(series: MetricSeries, points: int) -> MetricSeries:
    """Return a series with fewer points: the lowest and the highest of each period, and the last.

    Args:
        series: The series.
        points: Largest number of points, at least 3.
    """
    count = len(series.values)
    if count <= points:
        return series
    periods = (points - 1) // 2
    kept = {count - 1}
    for period in range(periods):
        indices = range(count * period // periods, count * (period + 1) // periods)
        kept |= {min(indices, key=series.values.__getitem__)}
        kept |= {max(indices, key=series.values.__getitem__)}
    order = sorted(kept)
    return series.model_copy(
        update={
            name: tuple(getattr(series, name)[index] for index in order)
            for name in ("steps", "values", "times")
        }
    )


def _curves(logged: StepLogged) -> dict[str, MetricSeries]:
    return {name: series for name, series in logged.metrics.items() if len(series.values) > 1}


def _texts(logged: StepLogged) -> Iterator[tuple[str, Preview]]:
    for name, table in logged.tables.items():
        yield name, _table_preview(table)
    for name, text in logged.texts.items():
        yield name, _text_preview(text)


def _table_preview(table: LoggedTable) -> Preview:
    return Preview(
        kind="table",
        columns=table.columns,
        rows=tuple(tuple("" if cell is None else str(cell) for cell in row) for row in table.rows),
        shape=(table.all_rows, table.all_columns),
    )


def _text_preview(text: LoggedText) -> Preview:
    end = "\n… the end was not kept: the string is too long" if text.is_cut else ""
    return Preview(kind="text", text=f"{text.text}{end}")
