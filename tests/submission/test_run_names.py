from __future__ import annotations

import pytest

from flowyml_aws.core.errors import RunNotFoundError
from flowyml_aws.submission.run_names import is_complete, matching_runs, unknown_run

OLD = "digits-20261121-150531-aaaaaa"
NEW = "digits-20261122-150531-bbbbbb"
OTHER = "every-way-20261122-160000-cccccc"
RUNS = [OLD, OTHER, NEW]


def test_a_complete_id_has_a_time_and_random_characters() -> None:
    assert is_complete(OLD) and is_complete(OTHER)
    assert not is_complete("digits-20261121") and not is_complete("latest")


@pytest.mark.parametrize("prefix", ["digits-20261121", "digits-20261121-150531-a", OLD])
def test_a_unique_prefix_matches_one_run(prefix: str) -> None:
    assert matching_runs(prefix, RUNS) == [OLD]


def test_a_prefix_of_several_runs_is_an_error_that_lists_them_newest_first() -> None:
    with pytest.raises(RunNotFoundError, match="2 runs start with 'digits'") as caught:
        matching_runs("digits", RUNS)
    assert caught.value.why == f"they are {NEW}, {OLD}"


def test_many_candidates_are_listed_up_to_a_limit() -> None:
    many = [f"digits-202611{day:02}-150531-aaaaaa" for day in range(1, 16)]
    with pytest.raises(RunNotFoundError) as caught:
        matching_runs("dig", many)
    assert caught.value.why.endswith("digits-20261106-150531-aaaaaa and 5 more")


def test_latest_lists_the_runs_newest_first() -> None:
    assert matching_runs("latest", RUNS) == [OTHER, NEW, OLD]
    assert matching_runs("latest:digits", RUNS) == [NEW, OLD]
    assert matching_runs("latest:Every way!", RUNS) == [OTHER]


@pytest.mark.parametrize("name", ["", "nothing", "latest:nothing"])
def test_a_name_without_a_run_matches_nothing(name: str) -> None:
    assert matching_runs(name, RUNS) == []


def test_the_error_about_an_unknown_run_names_the_nearest_runs() -> None:
    error = unknown_run(OLD.replace("digits", "digit"), RUNS, "searched s3://bucket")
    assert error.what == "No run 'digit-20261121-150531-aaaaaa'"
    assert error.fix.startswith(f"did you mean {OLD} or {NEW}? Otherwise: list the runs")


def test_the_error_about_an_unknown_pipeline_names_the_nearest_pipelines() -> None:
    for name in ("latest:digit", "latst:digits"):
        error = unknown_run(name, RUNS, "searched s3://bucket")
        assert error.fix.startswith("did you mean latest:digits? Otherwise:")


def test_a_pipeline_that_has_only_sub_runs_is_not_suggested_for_itself() -> None:
    error = unknown_run("latest:digits", RUNS, "searched s3://bucket")
    assert "did you mean" not in error.fix
    assert "`flowyml-aws runs --all`" in error.fix


def test_an_error_without_near_runs_says_how_to_list_them() -> None:
    assert unknown_run("zzz", RUNS, "").fix.startswith("list the runs with `flowyml-aws runs`")


def test_a_misspelled_latest_is_recognized() -> None:
    error = unknown_run("latst", ["digits-20261130-105307-0428a9"], "searched here")
    assert error.fix.startswith("did you mean latest?")


def test_the_latest_of_no_runs_is_not_suggested_for_itself() -> None:
    error = unknown_run("latest", [], "the store has no runs")
    assert "did you mean" not in error.fix
