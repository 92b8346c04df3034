from __future__ import annotations

from pathlib import Path

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.runtime.usage import JobUsage
from flowyml_aws.submission.usage import read_usages

RUN = "run-20260101-000000-abcdef"


def usage(attempt: int) -> JobUsage:
    return JobUsage(
        attempt=attempt, started_at=0, period_s=1, series=(), steps={}, phases=(), missing=()
    )


def test_the_use_of_the_wanted_attempts_is_read(tmp_path: Path) -> None:
    store, layout = DirectoryArtifactStore(tmp_path), RunLayout(RUN)
    for job, attempt in (("train", 1), ("train", 2), ("score", 1)):
        store.put(layout.attempt(job, attempt, "usage.json"), usage(attempt).to_json())
    assert read_usages(store, RUN, {"train": 2, "score": 1}) == {
        "train": usage(2),
        "score": usage(1),
    }


def test_attempts_without_a_readable_document_are_left_out(tmp_path: Path) -> None:
    store, layout = DirectoryArtifactStore(tmp_path), RunLayout(RUN)
    store.put(layout.attempt("newer", 1, "usage.json"), b'{"version": 2}')
    assert read_usages(store, RUN, {"newer": 1, "killed": 1, "waiting": 0}) == {}
    assert read_usages(store, RUN, {}) == {}
