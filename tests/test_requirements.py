"""The setting `requirements`, from the client to the jobs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from flowyml_aws import Run
from flowyml_aws.core.errors import InvalidPipelineError
from tests.support.places import Place
from tests.support.wheels import write_wheel

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("cli-emulated")]


@pytest.fixture
def place(tmp_path: Path, emulator_settings: Mapping[str, str]) -> Iterator[Place]:
    """A project whose requirements lie as wheels in a folder."""
    write_wheel(tmp_path / "wheels", "small", "1.0", {"small.py": "VALUE = 21\n"})
    settings = {
        **emulator_settings,
        "FLOWYML_AWS_STORE": f"{emulator_settings['FLOWYML_AWS_STORE']}/{uuid.uuid4().hex}",
        "FLOWYML_AWS_REQUIREMENTS": f"--no-index\n--find-links {tmp_path / 'wheels'}\nsmall>=1,<2",
    }
    place = Place("batch", tmp_path / "project", settings)
    with place.entered() as patch:
        patch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
        yield place


def said(run_id: str) -> str:
    return "\n".join(line.message for line in Run.attach(run_id).logs())


def test_the_first_job_installs_them_and_the_next_ones_take_what_it_stored(place: Place) -> None:
    result = place.pipeline("borrowing").run(backend="batch", progress=False)
    assert result.success, result.summary()
    assert result["more"] == 42
    log = said(result.run_id)
    assert log.count("installing 1 package(s)") == 1
    assert log.count("took 1 installed package(s)") == 1


def test_what_can_t_be_resolved_is_told_before_anything_is_submitted(place: Place) -> None:
    with place.entered() as patch:
        patch.setenv("FLOWYML_AWS_REQUIREMENTS", "--no-index\nsmall>=7")
        with pytest.raises(InvalidPipelineError) as caught:
            place.pipeline("borrowing").run(backend="batch", progress=False)
    assert "The setting `requirements` can't be resolved" in str(caught.value)


def test_on_this_machine_nothing_is_installed(place: Place) -> None:
    result = place.pipeline("noisy").run(progress=False)
    assert result.success
    assert "package(s)" not in said(result.run_id)
