"""Fewer points and shorter logs, so that a page stays below its maximum size."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from flowyml_aws.report.data import AssetEntry, Curves, JobEntry, Preview
from flowyml_aws.report.logs import END_BYTES, shorter_log
from flowyml_aws.runtime.usage import Series
from flowyml_aws.submission.backend import JobState

__all__ = [
    "IMAGE_BYTES_PER_PAGE",
    "MAX_POINTS",
    "MAX_TEXT",
    "fit_curves",
    "fit_images",
    "fit_logs",
    "shortened_text",
    "thin_series",
]

MAX_POINTS = 300
"""Points of a curve in a page."""
MAX_TEXT = 16 * 1024
"""Characters of a message or a traceback in a page."""
IMAGE_BYTES_PER_PAGE = 160_000
"""Size of all images in a page, in base64."""
_MIN_POINTS = 20
_NUMBERS_PER_PAGE = 120_000  # 1.2 bytes each when compressed
_NUMBERS_PER_JOB = 900
_LOG_BYTES_PER_PAGE, _LOG_BYTES_PER_JOB = 200_000, 2_000  # compressed
_MIN_END_BYTES, _FULL_LOGS = 512, 10
_COUNTED_JOBS = 1000  # more of them do not make a page larger


def thin_series(series: Series, points: int) -> Series:
    """Return a series with at most this number of periods, with minimum and maximum of each."""
    count = len(series.low)
    if count <= points:
        return series
    bounds = [(count * i // points, count * (i + 1) // points) for i in range(points)]
    return Series(
        name=series.name,
        low=tuple(min(series.low[start:end]) for start, end in bounds),
        high=tuple(max(series.high[start:end]) for start, end in bounds),
    )


def fit_curves(jobs: Sequence[JobEntry], others: int = 0) -> tuple[dict[str, Curves], int]:
    """Return the curves of each job that has any, and the number of points of each curve.

    Args:
        jobs: Jobs with all their points.
        others: Number of other curves in the page.
    """
    measured = [(job.name, job.curves) for job in jobs if job.curves is not None]
    series = others + sum(len(curves.series) for _, curves in measured)
    budget = max(_NUMBERS_PER_PAGE, _NUMBERS_PER_JOB * min(len(jobs), _COUNTED_JOBS))
    points = max(_MIN_POINTS, min(MAX_POINTS, budget // (2 * series))) if series else MAX_POINTS
    return {name: _thin(curves, points) for name, curves in measured}, points


def fit_logs(jobs: Sequence[JobEntry], used: int = 0) -> tuple[list[JobEntry], int]:
    """Return the jobs with logs that fit into a page, and the length of the shortest ends.

    The logs of the first failed jobs are not shortened further.

    Args:
        jobs: Jobs with their logs.
        used: Compressed bytes that other content takes from the share of the logs.
    """
    failed = [job.name for job in jobs if job.state is JobState.FAILED][:_FULL_LOGS]
    budget = max(_LOG_BYTES_PER_PAGE, _LOG_BYTES_PER_JOB * min(len(jobs), _COUNTED_JOBS))
    budget -= used
    end_bytes = END_BYTES
    while True:
        lengths = dict.fromkeys(failed, END_BYTES)
        fitted = [_with_log(job, lengths.get(job.name, end_bytes)) for job in jobs]
        if end_bytes <= _MIN_END_BYTES or sum(map(_log_bytes, fitted)) <= budget:
            return fitted, end_bytes
        end_bytes //= 2


def fit_images(assets: Sequence[AssetEntry], used: int = 0) -> tuple[list[AssetEntry], int]:
    """Return the values with the first images that fit into a page, and the number of others.

    Args:
        assets: Values with their previews.
        used: Bytes of other images in the page, in base64.
    """
    left, omitted = IMAGE_BYTES_PER_PAGE - used, 0
    fitted = []
    for asset in assets:
        size = len(asset.preview.image or "") if asset.preview is not None else 0
        if size > left:
            without = Preview(kind="none", text="the page has too many images")
            asset, size = asset.model_copy(update={"preview": without}), 0
            omitted += 1
        left -= size
        fitted.append(asset)
    return fitted, omitted


def shortened_text(text: str, length: int = MAX_TEXT) -> str:
    """Return a string, or only its start and end if it is longer than the limit."""
    if len(text) <= length:
        return text
    half = length // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out …\n{text[-half:]}"


def _with_log(job: JobEntry, end_bytes: int) -> JobEntry:
    if job.log is None:
        return job
    return job.model_copy(update={"log": shorter_log(job.log, end_bytes)})


def _log_bytes(job: JobEntry) -> int:
    """Return the compressed size of a log."""
    if job.log is None:
        return 0
    return len(zlib.compress(f"{job.log.head}{job.log.tail}".encode()))


def _thin(curves: Curves, points: int) -> Curves:
    thin = tuple(thin_series(series, points) for series in curves.series)
    longest = max((len(series.low) for series in curves.series), default=0)
    shortest = max((len(series.low) for series in thin), default=0)
    scale = longest / shortest if shortest else 1.0
    return curves.model_copy(update={"series": thin, "period_s": curves.period_s * scale})
