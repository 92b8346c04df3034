from __future__ import annotations

import copy
import pickle

import pytest

from flowyml_aws.core import errors
from flowyml_aws.core.errors import (
    ArtifactNotFoundError,
    DamagedArtifactError,
    FlowymlError,
    InvalidPipelineError,
    InvalidStepError,
    MissingExtraError,
    RunNotFoundError,
    UnpicklableStepError,
)

KINDS = [
    kind
    for name in errors.__all__
    if issubclass(kind := getattr(errors, name), FlowymlError) and kind is not InvalidPipelineError
]


def problem(name: str) -> FlowymlError:
    return InvalidStepError(what=f"Step {name!r}", why="it is wrong", fix="correct it")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "transfer", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_every_error_survives_pickling_and_copying(
    kind: type[FlowymlError], transfer: object
) -> None:
    error = kind(what="It failed", why="because", fix="do this")
    assert callable(transfer)
    restored = transfer(error)
    assert type(restored) is kind
    assert (restored.what, restored.why, restored.fix) == ("It failed", "because", "do this")
    assert str(restored) == str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_reports_what_why_and_fix(kind: type[FlowymlError]) -> None:
    assert str(kind("It failed", "because", "do this")) == (
        "It failed\n  why: because\n  fix: do this"
    )


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (InvalidPipelineError, ValueError),
        (InvalidStepError, ValueError),
        (ArtifactNotFoundError, FileNotFoundError),
        (DamagedArtifactError, OSError),
        (RunNotFoundError, LookupError),
        (MissingExtraError, ImportError),
        (UnpicklableStepError, TypeError),
    ],
)
def test_errors_inherit_the_built_in_error_that_callers_expect(
    kind: type[FlowymlError], builtin: type[Exception]
) -> None:
    assert issubclass(kind, builtin)


def test_a_report_lists_every_problem_once() -> None:
    report = InvalidPipelineError("training", [problem("a"), problem("b"), problem("a")])
    assert [p.what for p in report.problems] == ["Step 'a'", "Step 'b'"]
    assert str(report).splitlines() == [
        "Pipeline 'training' can't run: 2 problems found, nothing was submitted",
        "1. Step 'a'",
        "  why: it is wrong",
        "  fix: correct it",
        "2. Step 'b'",
        "  why: it is wrong",
        "  fix: correct it",
    ]


def test_a_report_survives_pickling_with_its_problems() -> None:
    report = InvalidPipelineError("training", [problem("a"), problem("b")])
    for restored in (pickle.loads(pickle.dumps(report)), copy.copy(report), copy.deepcopy(report)):
        assert str(restored) == str(report)
        assert [type(p) for p in restored.problems] == [InvalidStepError, InvalidStepError]
