from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import UnknownServiceError

from flowyml_aws.aws.connection.service_models import ServiceModelLoader, keep_operations


def test_shapes_of_other_operations_are_removed() -> None:
    model: dict[str, Any] = {
        "operations": {
            "List": {"input": {"shape": "ListRequest"}, "errors": [{"shape": "Denied"}]},
            "Delete": {"input": {"shape": "DeleteRequest"}},
        },
        "shapes": {
            "ListRequest": {"members": {"Filters": {"shape": "Filters"}}},
            "Filters": {"type": "list", "member": {"shape": "Filter"}},
            "Filter": {"members": {"Inner": {"shape": "Filters"}}},
            "Denied": {"type": "structure"},
            "DeleteRequest": {"type": "structure"},
        },
    }
    keep_operations(model, ["List"])
    assert model["operations"].keys() == {"List"}
    assert model["shapes"].keys() == {"ListRequest", "Filters", "Filter", "Denied"}


def test_the_model_of_ec2_has_only_what_a_run_calls() -> None:
    loader = ServiceModelLoader.of(None)
    model = loader.load_service_model("ec2", "service-2")
    assert len(model["operations"]) < 10
    # A second client gets the same model.
    assert loader.load_service_model("ec2", "service-2") is model


def test_other_services_have_all_operations() -> None:
    model = ServiceModelLoader.of(None).load_service_model("batch", "service-2")
    assert {"SubmitJob", "CreateComputeEnvironment"} <= model["operations"].keys()


def test_models_have_no_documentation() -> None:
    model = ServiceModelLoader.of(None).load_service_model("batch", "service-2")
    request = model["shapes"]["SubmitJobRequest"]
    assert request["documentation"] == "" and request["members"]["jobName"]["documentation"] == ""


def test_a_member_that_is_called_documentation_is_kept(tmp_path: Path) -> None:
    model = {"members": {"documentation": {"shape": "Text"}}, "documentation": "long"}
    folder = tmp_path / "mine" / "2026-11-30"
    folder.mkdir(parents=True)
    (folder / "service-2.json").write_text(json.dumps(model), "utf-8")
    loaded = ServiceModelLoader.of(str(tmp_path)).load_service_model("mine", "service-2")
    assert loaded == {**model, "documentation": ""}


def test_models_are_also_searched_in_the_users_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS", "/models")
    assert "/models/more" in ServiceModelLoader.of("$MODELS/more").search_paths


def test_the_names_of_services_are_searched_only_when_they_are_listed() -> None:
    services = ServiceModelLoader.of(None).list_available_services("service-2")
    assert "s3" in services and "nothing" not in services
    assert {"s3", "batch"} <= {*services} and len(services) == len({*services})


def test_an_unknown_service_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(UnknownServiceError, match="batch"):
        ServiceModelLoader.of(None).load_service_model("nothing", "service-2")
