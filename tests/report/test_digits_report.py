"""The page of the digits example in the docs: `scripts/digits-report --page` makes it again."""

from __future__ import annotations

import re
from pathlib import Path

from flowyml_aws.report.data import RunReport
from flowyml_aws.report.page import to_html
from tests.support.digits_report import FOLDER, contents, read_figures, skeleton, stable_report
from tests.support.reports import a_report

PAGE = (FOLDER / "digits.html").read_text("utf-8")


def test_the_page_is_what_the_code_makes_of_the_figures() -> None:
    made, stored = contents(to_html(read_figures())), contents(PAGE)
    assert made.keys() == stored.keys()
    assert [name for name in made if made[name] != stored[name]] == []


def test_the_page_names_no_machine_and_no_person() -> None:
    page = contents(PAGE)
    text = "".join(text for name, text in page.items() if name != "library")
    assert "ana on laptop" in text and "file:///projects/digits" in text
    assert not re.findall(r"(?<![\w.})>-])/(?:root|work|home|tmp|Users|var)/", text)
    origin = read_figures().origin
    assert origin is not None
    assert (origin.user, origin.client, origin.git) == ("ana", "laptop", None)


def test_a_report_becomes_stable() -> None:
    report = a_report(2, log_lines=3, periods=2)
    assert report.origin is not None
    packages = dict.fromkeys(
        ("flowyml-aws", "matplotlib", "numpy", "pydantic", "scikit-learn", "scipy", "other"), "1"
    )
    report = report.model_copy(
        update={
            "store": "file:///tmp/x/.flowyml/aws",
            "origin": report.origin.model_copy(update={"packages": packages}),
        }
    )
    stable: RunReport = stable_report(report, Path("/tmp/x"))
    assert stable.store == "file:///projects/digits/.flowyml/aws"
    assert stable.run_id == "digits-20261130-090000-3f9a1c"
    assert stable.created_at == 1_796_029_200.0
    assert abs(stable.duration_s - report.duration_s) < 0.01
    assert stable.origin is not None and "other" not in stable.origin.packages
    assert stable_report(stable, Path("/elsewhere")) == stable


def test_a_skeleton_shows_other_steps_and_texts_but_no_other_numbers() -> None:
    report = read_figures()
    step = report.steps[0]
    slower = step.model_copy(update={"ended_at": 99.0, "usage": None})
    other = step.model_copy(update={"outputs": ("images",)})
    assert skeleton(report) == skeleton(
        report.model_copy(update={"steps": (slower, *report.steps[1:])})
    )
    assert skeleton(report) != skeleton(
        report.model_copy(update={"steps": (other, *report.steps[1:])})
    )
