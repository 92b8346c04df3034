"""Outcomes of trial loads that are remembered, so that an equal program is not loaded again."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.code.bindings import Binding
from flowyml_aws.code.states import State
from flowyml_aws.core.errors import PipelineFileError
from flowyml_aws.packaging.bundle import make_bundle
from flowyml_aws.packaging.memory import RememberedTrial, request_digest
from flowyml_aws.packaging.payload import StepPayload
from flowyml_aws.packaging.survey import Survey, SurveyedBinding
from flowyml_aws.packaging.trial import TrialRequest, environment_of_jobs
from flowyml_aws.runtime.payload import CarriedValue, PackedSteps, Payload
from flowyml_aws.runtime.program import Program
from flowyml_aws.scripts import Script

RATE, LATER = (Binding(Script("flow.py").module, name) for name in ("RATE", "LATER"))
USED = SurveyedBinding(State("client"), 2, by_source=False, is_attribute=False)
SCRIPT = "open('loads', 'a').write('.')\nRATE = 1"


@pytest.fixture(autouse=True)
def loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of remembered outcomes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "flowyml-aws" / "loads"


@pytest.fixture
def request_of(tmp_path: Path) -> Callable[..., TrialRequest]:
    folder = tmp_path / "project"
    folder.mkdir()

    def request_of(script: str = SCRIPT) -> TrialRequest:
        (folder / "flow.py").write_text(script)
        return TrialRequest(
            bundle=make_bundle({"flow.py": folder / "flow.py"}),
            program=Program(paths=(".",), script="flow.py"),
            root=folder,
            in_place=True,
            survey=Survey({RATE: USED, LATER: USED}, {}, {Binding("m", ""): frozenset({"a"})}),
            given=None,
            environment=environment_of_jobs(True, os.environ, {}),
        )

    return request_of


def payload(value: int) -> StepPayload:
    carried = pickle.dumps(Payload({}, {}, (CarriedValue(RATE, value),)))
    return StepPayload(pickle.dumps(PackedSteps({}, carried)))


def outcome(request: TrialRequest, *values: int) -> tuple[Any, Any, int]:
    """Return the states and carried states of a trial load, and how often the script was loaded."""
    log = request.root / "loads"
    before = len(log.read_text()) if log.exists() else 0
    with RememberedTrial(request) as trial:
        states = trial.states()
        carried = [trial.load(payload(value)) for value in values]
        trial.remember()
    return states, carried, len(log.read_text()) - before


@pytest.mark.contract
def test_an_equal_program_is_loaded_once(
    request_of: Callable[..., TrialRequest], loads: Path
) -> None:
    states, carried, count = outcome(request_of(), 5)
    assert count == 1
    assert (states[RATE] is None, states[LATER]) == (False, None)
    assert carried[0].keys() == {RATE}
    assert outcome(request_of(), 5) == (states, carried, 0)
    # Another payload is loaded, and remembered with the first.
    assert outcome(request_of(), 5, 6)[2] == 1
    assert outcome(request_of(), 6, 5)[2] == 0
    assert len(list(loads.iterdir())) == 1
    assert outcome(request_of(SCRIPT + "0"), 5)[2] == 1


@pytest.mark.contract
def test_a_program_that_cannot_be_loaded_is_not_remembered(
    request_of: Callable[..., TrialRequest], loads: Path
) -> None:
    for _ in range(2):
        with (
            RememberedTrial(request_of("1 / 0")) as trial,
            pytest.raises(PipelineFileError, match="ZeroDivisionError"),
        ):
            trial.states()
        trial.remember()
    assert not loads.exists()


@pytest.mark.contract
def test_a_damaged_outcome_is_replaced_and_old_outcomes_are_deleted(
    request_of: Callable[..., TrialRequest], loads: Path
) -> None:
    request = request_of()
    file = loads / f"{request_digest(request)}.json"
    loads.mkdir(parents=True)
    for number in range(400):
        (loads / f"{number}.json").touch()
    damages = (
        b"",
        b"[]",
        b'{"states": [], "payloads": {}}',
        b'{"states": [["m", "A", ["d", true, false]]], "payloads": {}}',
        b'{"states": [[1]], "payloads": {}}',
        b'{"states": 1, "payloads": 1}',
    )
    for damage in damages:
        file.write_bytes(damage)
        trial = RememberedTrial(request)
        with trial:
            assert trial.is_new, damage
    assert outcome(request, 5)[2] == 1
    assert outcome(request, 5)[2] == 0
    assert len(list(loads.iterdir())) == 300


@pytest.mark.contract
def test_a_folder_that_cannot_be_written_is_no_error(
    request_of: Callable[..., TrialRequest], loads: Path
) -> None:
    loads.parent.parent.mkdir()
    loads.parent.write_text("a file")
    assert outcome(request_of(), 5)[2] == 1


def test_everything_that_decides_an_outcome_counts(
    request_of: Callable[..., TrialRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_of()
    survey, environment = request.survey, request.environment
    others = [
        request_of("RATE = 2"),
        replace(request, program=replace(request.program, arguments=("--rate", "2"))),
        replace(request, program=replace(request.program, paths=(".", "src"))),
        replace(request, root=request.root.parent),
        replace(request, in_place=False),
        replace(request, given=b"values"),
        replace(request, environment={**environment, "LEVEL": "9"}),
        replace(request, survey=replace(survey, bindings={RATE: USED})),
        replace(
            request,
            survey=replace(survey, bindings={RATE: replace(USED, state=State("x")), LATER: USED}),
        ),
        replace(request, survey=replace(survey, bindings={RATE: replace(USED, by_source=True)})),
        replace(request, survey=replace(survey, names={Binding("m", ""): frozenset()})),
    ]
    digests = {request_digest(other) for other in (request, *others)}
    assert len(digests) == 1 + len(others)
    assert request_digest(request_of(SCRIPT)) == request_digest(request)


def test_variables_of_the_terminal_and_the_time_limit_do_not_count(
    request_of: Callable[..., TrialRequest],
) -> None:
    request = request_of()
    environment = {**request.environment, "SHLVL": "7", "OLDPWD": "/", "_": "python"}
    other = replace(request, environment=environment, limit_s=5)
    assert request_digest(other) == request_digest(request)


def test_a_new_installation_into_the_environment_counts(
    request_of: Callable[..., TrialRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "site-packages"
    packages.mkdir()
    monkeypatch.syspath_prepend(str(packages))
    before = request_digest(request_of())
    os.utime(packages, (1, 1))
    assert request_digest(request_of()) != before
