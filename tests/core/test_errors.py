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
    "travel", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_every_error_survives_pickling_and_copying(
    kind: type[FlowymlError], travel: object
) -> None:
    error = kind(what="It failed", why="because", fix="do this")
    assert callable(travel)
    came = travel(error)
    assert type(came) is kind
    assert (came.what, came.why, came.fix) == ("It failed", "because", "do this")
    assert str(came) == str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_tells_what_why_and_what_to_do(kind: type[FlowymlError]) -> None:
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
def test_an_error_is_also_the_built_in_one_that_callers_expect(
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
    for came in (pickle.loads(pickle.dumps(report)), copy.copy(report), copy.deepcopy(report)):
        assert str(came) == str(report)
        assert [type(p) for p in came.problems] == [InvalidStepError, InvalidStepError]
