"""The instance type that a job finds on its machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowyml_aws.runtime.machine_type import instance_type, training_instance_type


def dmi(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")
    return folder


def test_a_nitro_instance_has_its_type_as_product_name(tmp_path: Path) -> None:
    tables = dmi(tmp_path, sys_vendor="Amazon EC2", product_name="g4dn.xlarge")
    assert instance_type({}, tables) == "g4dn.xlarge"


@pytest.mark.parametrize("name", ["p6-b200.48xlarge", "u-6tb1.112xlarge", "m5.metal"])
def test_every_spelling_of_a_type_is_read(name: str, tmp_path: Path) -> None:
    tables = dmi(tmp_path, sys_vendor="Amazon EC2", product_name=name)
    assert instance_type({}, tables) == name


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"sys_vendor": "QEMU", "product_name": "m5.large"},
        {"sys_vendor": "Amazon EC2", "product_name": "Not Specified"},
        {"sys_vendor": "Amazon EC2"},
    ],
)
def test_another_machine_has_no_type(files: dict[str, str], tmp_path: Path) -> None:
    assert instance_type({}, dmi(tmp_path, **files)) is None


def test_a_metadata_service_that_does_not_answer_is_no_error(tmp_path: Path) -> None:
    tables = dmi(tmp_path, sys_vendor="Amazon EC2", product_name="m5.large")
    for endpoint in ("http://127.0.0.1:1/", "nonsense", "http://[::1"):
        assert instance_type({"AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint}, tables) is None


def config(folder: Path, content: str) -> Path:
    (folder / "input/config").mkdir(parents=True)
    (folder / "input/config/resourceconfig.json").write_text(content)
    return folder


def test_a_training_instance_has_its_type_in_the_resource_configuration(tmp_path: Path) -> None:
    folder = config(tmp_path, json.dumps({"current_instance_type": "ml.g5.xlarge"}))
    assert training_instance_type(folder) == "ml.g5.xlarge"


@pytest.mark.parametrize("content", ["{}", "[]", "not JSON", '{"current_instance_type": 5}'])
def test_a_resource_configuration_without_the_type_is_no_error(
    content: str, tmp_path: Path
) -> None:
    assert training_instance_type(config(tmp_path, content)) is None


def test_a_missing_resource_configuration_is_no_error(tmp_path: Path) -> None:
    assert training_instance_type(tmp_path) is None
