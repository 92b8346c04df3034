"""The check of a proof that lets CodeBuild build an image."""

from __future__ import annotations

from flowyml_aws.aws.codebuild import Build, no_project
from flowyml_aws.doctor.prove.image_build import check_image_build, proof_price


def ended(status: str, problem: str = "") -> Build:
    return Build("p:1", status, "COMPLETED", "g", "s", 42.0, problem, ("first", "last line"))


def test_a_build_that_succeeds_agrees() -> None:
    row = check_image_build(lambda: ended("SUCCEEDED"))
    assert (row.verdict, row.observed) == ("agreed", "built in 42 s")


def test_a_build_that_fails_deviates_with_the_end_of_its_log() -> None:
    row = check_image_build(lambda: ended("FAILED", "BUILD: exit status 1"))
    assert (row.verdict, row.observed) == ("deviated", "FAILED")
    assert row.reason == "BUILD: exit status 1; first; last line"


def test_an_account_without_the_project_deviates_with_the_fix() -> None:
    def build() -> Build:
        raise no_project("flowyml-main-images")

    row = check_image_build(build)
    assert row.verdict == "deviated"
    assert "remote_builds" in row.reason


def test_the_build_costs_cents() -> None:
    assert proof_price().max_usd == 0.05
