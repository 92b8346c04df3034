from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.settings import Settings, load_settings


def pyproject(folder: Path, *lines: str) -> None:
    (folder / "pyproject.toml").write_text("\n".join(["[tool.flowyml-aws]", *lines]))


def own(folder: Path, *lines: str) -> None:
    (folder / "flowyml-aws.toml").write_text("\n".join(lines))


def test_without_files_and_variables_the_defaults_hold(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {}) == Settings()


def test_pyproject_is_overridden_by_our_file_and_that_by_the_environment(tmp_path: Path) -> None:
    pyproject(tmp_path, 'store = "s3://one/x"', 'image = "one"', 'region = "one"')
    own(tmp_path, 'image = "two"', 'region = "two"')
    settings = load_settings(tmp_path, {"FLOWYML_AWS_REGION": "three", "OTHER_REGION": "four"})
    assert (settings.store, settings.image, settings.region) == ("s3://one/x", "two", "three")


def test_a_list_is_one_in_toml_and_separated_by_commas_in_the_environment(tmp_path: Path) -> None:
    own(tmp_path, 'queues = ["cpu", "gpu"]')
    assert load_settings(tmp_path, {}).queues == ("cpu", "gpu")
    settings = load_settings(tmp_path, {"FLOWYML_AWS_QUEUES": " a, b,,"})
    assert settings.queues == ("a", "b")


def test_a_hyphen_is_as_good_as_an_underscore(tmp_path: Path) -> None:
    own(tmp_path, "poll-s = 5", 'job-role = "arn"')
    settings = load_settings(tmp_path, {})
    assert (settings.poll_s, settings.job_role) == (5.0, "arn")


def test_an_empty_variable_counts_as_none(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {"FLOWYML_AWS_STORE": ""}).store is None


def test_other_tables_of_pyproject_are_not_ours(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.other]\nstore = 5\n[project]\nname = "x"\n')
    assert load_settings(tmp_path, {}) == Settings()


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ('stroe = "s3://b/p"', "Unknown setting 'stroe'"),
        ("store = 5", "store in"),
        ('store = "/data"', "is no S3 location"),
        ('store = "s3://"', "is no S3 location"),
        ('store = "s3:///prefix"', "is no S3 location"),
        ("queues = 5", "queues in"),
        ("queues = [1]", "queues in"),
        ('poll_s = "soon"', "poll_s in"),
        ("poll_s = 0", "poll_s in"),
        ("poll_s = -1", "poll_s in"),
        ("poll_s = inf", "poll_s in"),
        ("poll_s = nan", "poll_s in"),
        ("store = ", "can't be read"),
    ],
)
def test_a_mistake_is_an_error_that_says_where_it_is(tmp_path: Path, lines: str, what: str) -> None:
    own(tmp_path, lines)
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, {})
    assert what in caught.value.what
    if "S3 location" not in what:
        assert "flowyml-aws.toml" in caught.value.what


def test_an_unknown_variable_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, {"FLOWYML_AWS_QUEUE": "cpu"})
    assert "FLOWYML_AWS_" in caught.value.what
    assert caught.value.fix == "did you mean 'queues'?"


def test_a_table_that_is_none_and_a_file_that_is_no_text_are_errors(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool]\nflowyml-aws = 5\n")
    with pytest.raises(SettingsError, match="a table"):
        load_settings(tmp_path, {})
    (tmp_path / "pyproject.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="can't be read"):
        load_settings(tmp_path, {})
