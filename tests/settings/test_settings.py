from __future__ import annotations

import re
from pathlib import Path

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.planning.targets import Taint
from flowyml_aws.settings.load import load_settings
from flowyml_aws.settings.model import Settings, as_environment


def pyproject(folder: Path, *lines: str) -> None:
    (folder / "pyproject.toml").write_text("\n".join(["[tool.flowyml-aws]", *lines]))


def settings_file(folder: Path, *lines: str) -> None:
    (folder / "flowyml-aws.toml").write_text("\n".join(lines))


def test_without_files_and_variables_settings_have_their_defaults(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {}) == Settings()


def test_the_settings_file_overrides_pyproject_and_the_environment_overrides_both(
    tmp_path: Path,
) -> None:
    pyproject(tmp_path, 'store = "s3://one/x"', 'image = "one"', 'region = "one"')
    settings_file(tmp_path, 'image = "two"', 'region = "two"')
    settings = load_settings(tmp_path, {"FLOWYML_AWS_REGION": "three", "OTHER_REGION": "four"})
    assert (settings.store, settings.image, settings.region) == ("s3://one/x", "two", "three")


def test_a_list_is_a_toml_array_or_separated_by_commas_in_the_environment(tmp_path: Path) -> None:
    settings_file(tmp_path, 'queues = ["cpu", "gpu"]')
    assert load_settings(tmp_path, {}).queues == ("cpu", "gpu")
    settings = load_settings(tmp_path, {"FLOWYML_AWS_QUEUES": " a, b,,"})
    assert settings.queues == ("a", "b")


def test_names_may_be_written_with_hyphens(tmp_path: Path) -> None:
    settings_file(tmp_path, "poll-s = 5", 'job-role = "arn"')
    settings = load_settings(tmp_path, {})
    assert (settings.poll_s, settings.job_role) == (5.0, "arn")


def test_an_empty_variable_is_ignored(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {"FLOWYML_AWS_STORE": ""}).store is None


def test_other_tables_of_pyproject_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.other]\nstore = 5\n[project]\nname = "x"\n')
    assert load_settings(tmp_path, {}) == Settings()


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ('stroe = "s3://b/p"', "Unknown setting 'stroe'"),
        ("store = 5", "store in"),
        ('store = "/data"', "expected an S3 location"),
        ('store = "s3://"', "expected an S3 location"),
        ('store = "s3:///prefix"', "expected an S3 location"),
        ("queues = 5", "queues in"),
        ("queues = [1]", "queues in"),
        ('poll_s = "soon"', "poll_s in"),
        ("poll_s = 0", "poll_s in"),
        ('cache_versions = "some"', "cache_versions in"),
        ("poll_s = -1", "poll_s in"),
        ("poll_s = inf", "poll_s in"),
        ("poll_s = nan", "poll_s in"),
        ("store = ", "can't be read"),
    ],
)
def test_a_mistake_is_an_error_that_names_the_file(tmp_path: Path, lines: str, what: str) -> None:
    settings_file(tmp_path, lines)
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, {})
    assert what in caught.value.what
    if "expected an S3 location" not in what:
        assert "flowyml-aws.toml" in caught.value.what


def test_an_unknown_variable_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, {"FLOWYML_AWS_QUEUE": "cpu"})
    assert "FLOWYML_AWS_" in caught.value.what
    assert caught.value.fix == "did you mean 'queues'?"


def test_a_value_instead_of_a_table_and_a_file_that_is_not_utf_8_are_errors(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool]\nflowyml-aws = 5\n")
    with pytest.raises(SettingsError, match="it must be a TOML table"):
        load_settings(tmp_path, {})
    (tmp_path / "pyproject.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="can't be read"):
        load_settings(tmp_path, {})


TARGETS = """
max_price_usd_hour = 4.5

[[targets]]
name = "gpu-queue"
instance_types = ["g4dn"]
labels = { pool = "gpu" }
taints = ["night=yes:NoSchedule", "slow:PreferNoSchedule"]
capacity = "spot"
max_vcpus = 64

[[targets]]
name = "service"
kind = "sagemaker"
"""


def test_targets_and_limits_in_a_file(tmp_path: Path) -> None:
    settings_file(tmp_path, TARGETS)
    settings = load_settings(tmp_path, {})
    assert settings.max_price_usd_hour == 4.5
    gpu, service = settings.targets
    assert (gpu.name, gpu.kind, gpu.capacity, gpu.max_vcpus) == ("gpu-queue", "batch", "spot", 64)
    assert (gpu.instance_types, gpu.labels) == (("g4dn",), {"pool": "gpu"})
    assert gpu.taints == (Taint("night", "yes"), Taint("slow", effect="PreferNoSchedule"))
    assert (service.name, service.kind, service.instance_types) == ("service", "sagemaker", ())


def test_targets_in_the_environment_are_json(tmp_path: Path) -> None:
    settings_file(tmp_path, TARGETS)
    document = '[{"name": "other", "instance_types": ["m5"]}]'
    (target,) = load_settings(tmp_path, {"FLOWYML_AWS_TARGETS": document}).targets
    assert (target.name, target.instance_types) == ("other", ("m5",))


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ('nmae = "q"', "Unknown key 'nmae'"),
        ('kind = "batch"', "name of"),
        ('name = "q"\nkind = "ecs"', "kind of"),
        ('name = "q"\ncapacity = "cheap"', "capacity of"),
        ('name = "q"\ninstance_types = "m5"', "instance_types of"),
        ('name = "q"\nlabels = ["a"]', "labels of"),
        ('name = "q"\nlabels = { a = 1 }', "labels of"),
        ('name = "q"\ntaints = ["night"]', "a taint of"),
        ('name = "q"\ntaints = [":NoSchedule"]', "a taint of"),
        ('name = "q"\nmax_vcpus = "many"', "max_vcpus of"),
        ('name = "q"\nmax_vcpus = 0', "max_vcpus of"),
        ('name = "q"\n[[targets]]\nname = "q"', "Duplicate target 'q'"),
    ],
)
def test_a_mistake_in_a_target_is_an_error_that_names_the_file(
    tmp_path: Path, table: str, what: str
) -> None:
    settings_file(tmp_path, f"[[targets]]\n{table}")
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, {})
    assert what in caught.value.what
    assert "targets in" in caught.value.what
    assert "flowyml-aws.toml" in caught.value.what


@pytest.mark.parametrize("document", ["5", "{", '["q"]'])
def test_targets_that_are_not_mappings_are_an_error(tmp_path: Path, document: str) -> None:
    with pytest.raises(SettingsError, match="targets in the environment"):
        load_settings(tmp_path, {"FLOWYML_AWS_TARGETS": document})


@pytest.mark.parametrize("limit", ["0", "-1", "much", "inf"])
def test_a_limit_is_a_number_above_zero(tmp_path: Path, limit: str) -> None:
    with pytest.raises(SettingsError, match="max_cost_usd"):
        load_settings(tmp_path, {"FLOWYML_AWS_MAX_COST_USD": limit})


def test_a_time_has_a_unit_or_is_a_number_of_seconds(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {"FLOWYML_AWS_STOP_IDLE_GPU": "30m"})
    assert settings.stop_idle_gpu == 1800.0
    settings_file(tmp_path, "stop_idle_gpu = 90")
    assert load_settings(tmp_path, {}).stop_idle_gpu == 90.0
    with pytest.raises(SettingsError, match="stop_idle_gpu"):
        load_settings(tmp_path, {"FLOWYML_AWS_STOP_IDLE_GPU": "soon"})


def test_all_other_sources_override_the_account_s_settings(tmp_path: Path) -> None:
    settings_file(tmp_path, 'image = "mine"')
    account = '{"version": 1, "store": "s3://bucket/x", "image": "theirs", "queues": ["cpu"]}'
    settings = load_settings(tmp_path, {"FLOWYML_AWS_QUEUES": "gpu"}, account)
    assert (settings.store, settings.image) == ("s3://bucket/x", "mine")
    assert settings.queues == ("gpu",)


@pytest.mark.parametrize(
    ("account", "message"),
    [
        ("{", "it is not valid JSON"),
        ("[]", "has version None"),
        ('{"version": 2}', "has version 2"),
        ('{"version": 1, "buckets": []}', "Unknown setting 'buckets' in the account's parameter"),
        ('{"version": 1, "image": 5}', "image in the account's parameter"),
    ],
)
def test_a_mistake_in_the_account_s_settings_is_an_error(
    tmp_path: Path, account: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        load_settings(tmp_path, {}, account)


def test_settings_of_training_jobs_are_parsed_to_their_types(tmp_path: Path) -> None:
    settings_file(
        tmp_path, "sagemaker_spot = true", "sagemaker_volume_gib = 100", 'tags = { team = "a" }'
    )
    settings = load_settings(tmp_path, {"FLOWYML_AWS_SAGEMAKER_SUBNETS": "subnet-1, subnet-2"})
    assert (settings.sagemaker_spot, settings.sagemaker_volume_gib) == (True, 100)
    assert settings.sagemaker_subnets == ("subnet-1", "subnet-2")
    assert settings.tags == {"team": "a"}
    settings = load_settings(tmp_path, {"FLOWYML_AWS_TAGS": '{"team": "b"}'})
    assert settings.tags == {"team": "b"}


def test_a_backend_is_a_service_or_a_mapping_of_groups_to_services(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {}).backend is None
    settings_file(tmp_path, 'backend = "batch"')
    assert load_settings(tmp_path, {}).backend == "batch"
    settings_file(tmp_path, 'backend = { training = "sagemaker", "*" = "batch" }')
    mapping = {"training": "sagemaker", "*": "batch"}
    assert load_settings(tmp_path, {}).backend == mapping
    variable = {"FLOWYML_AWS_BACKEND": "local"}
    assert load_settings(tmp_path, variable).backend == "local"
    variable = {"FLOWYML_AWS_BACKEND": '{"training": "sagemaker", "*": "batch"}'}
    assert load_settings(tmp_path, variable).backend == mapping


@pytest.mark.parametrize("value", ['{"training": 5}', '{"training"'])
def test_a_malformed_backend_in_the_environment_is_an_error(tmp_path: Path, value: str) -> None:
    with pytest.raises(SettingsError, match="backend in the environment"):
        load_settings(tmp_path, {"FLOWYML_AWS_BACKEND": value})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TAGS", "team=a", "a mapping of strings as JSON"),
        ("TAGS", '{"team": 1}', "a mapping of strings"),
        ("SAGEMAKER_KEEP_ALIVE_S", "1.5", "an integer above 0"),
        ("SAGEMAKER_SPOT", "perhaps", "true or false"),
    ],
)
def test_a_malformed_setting_of_training_jobs_is_an_error(
    tmp_path: Path, name: str, value: str, expected: str
) -> None:
    with pytest.raises(SettingsError, match=f"it must be {expected}"):
        load_settings(tmp_path, {f"FLOWYML_AWS_{name}": value})


def test_environment_variables_give_another_process_the_same_settings(tmp_path: Path) -> None:
    settings = Settings(
        store="s3://bucket/x",
        image="image",
        region="eu-west-3",
        poll_s=0.5,
        allow_pickle=False,
        tags={"team": "a"},
        sagemaker_role="arn",
        sagemaker_subnets=("subnet-1", "subnet-2"),
        sagemaker_spot=True,
        sagemaker_volume_gib=100,
    )
    assert load_settings(tmp_path, as_environment(settings)) == settings


def test_settings_that_matter_only_before_a_run_are_not_passed_on() -> None:
    settings = Settings(
        backend="batch", queues=("cpu",), max_cost_usd=1.0, account="prod", driver_queue="cpu"
    )
    assert as_environment(settings) == {}


def test_environment_variables_of_jobs_are_a_mapping_in_every_source(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.flowyml-aws.env]\nLEVEL = "9"\n')
    assert load_settings(tmp_path, {}).env == {"LEVEL": "9"}
    (tmp_path / "flowyml-aws.toml").write_text('env = { LEVEL = "8" }\n')
    assert load_settings(tmp_path, {}).env == {"LEVEL": "8"}
    assert load_settings(tmp_path, {"FLOWYML_AWS_ENV": '{"LEVEL": "7"}'}).env == {"LEVEL": "7"}
    assert as_environment(Settings(env={"LEVEL": "9"})) == {}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('{"HIDDEN": 123456}', "HIDDEN must be a string, got int"),
        ("LEVEL=123456", "a mapping of strings"),
        ("[123456]", "a mapping of strings"),
    ],
)
def test_a_malformed_environment_is_an_error_without_its_values(
    tmp_path: Path, value: str, expected: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, {"FLOWYML_AWS_ENV": value})
    assert expected in str(caught.value)
    assert "123456" not in str(caught.value)
