from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import Context, FlowymlError, NodeAffinity, Step, VersionedPipeline, step
from flowyml_aws.core.errors import (
    InvalidPipelineError,
    InvalidVersionError,
    UnknownVersionError,
)
from tests.support.naming import stable_repr

NOON = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
RATE = 0.1


def scaled(x: float) -> float:
    return x * RATE


def load() -> list[float]:
    return [1.0, 2.0]


def train(data: list[float]) -> float:
    return sum(map(scaled, data))


def train_better(data: list[float]) -> float:
    return max(map(scaled, data))


def a_step(name: str, reads: tuple[str, ...] = (), function: Any = load, **options: Any) -> Step:
    return step(name=name, inputs=reads, outputs=[name], **options)(function)


Versioned = Callable[..., VersionedPipeline]


@pytest.fixture
def versioned(tmp_path: Path) -> Versioned:
    """Function that returns a pipeline whose versions are saved in one folder."""

    def make(*steps: Step, version: str = "v1", context: Any = None) -> VersionedPipeline:
        pipeline = VersionedPipeline("training", version, tmp_path, context, now=lambda: NOON)
        return pipeline.add_steps(steps)

    return make


def test_another_process_reads_a_saved_version(versioned: Versioned) -> None:
    saved = versioned(a_step("data"), context={"rate": 0.1}).save_version({"by": "ana"})
    read = versioned().get_version("v1")
    assert read == saved
    assert read is not None
    assert (read.version, read.pipeline_name) == ("v1", "training")
    assert read.created_at == "2026-11-22T12:00:00+00:00"
    assert (read.context_params, read.metadata) == ({"rate": 0.1}, {"by": "ana"})


def test_a_version_contains_the_definition_of_the_pipeline(versioned: Versioned) -> None:
    pipeline = versioned(
        a_step("model", ("data",), train, execution_group="g", resources={"cpu": "4"}),
        a_step("data", execution_group="g"),
    )
    saved = pipeline.save_version()
    assert saved.steps == ("data", "model")
    assert saved.groups == {"g": ["data", "model"]}
    assert saved.resources["data"] is None
    assert (saved.resources["model"] or {})["cpu"] == "4"
    assert saved.wiring["model"] == {"inputs": ["data"], "outputs": ["model"]}
    assert {name.rpartition(".")[2] for name in saved.step_parts["model"]} == {
        "train",
        "scaled",
        "RATE",
    }


def test_versions_are_listed_in_natural_order(versioned: Versioned) -> None:
    for version in ("v0.10", "v0.9", "v0.1.12", "v0.1.2", "v1"):
        versioned(a_step("data"), version=version).save_version()
    assert versioned().list_versions() == ["v0.1.2", "v0.1.12", "v0.9", "v0.10", "v1"]


def test_a_pipeline_without_saved_versions_has_none(versioned: Versioned) -> None:
    assert versioned().list_versions() == []
    assert versioned().get_version("v1") is None


def test_saving_a_version_again_replaces_it(versioned: Versioned) -> None:
    versioned(a_step("data")).save_version()
    versioned(a_step("other")).save_version()
    read = versioned().get_version("v1")
    assert read is not None
    assert read.steps == ("other",)


def test_the_version_can_be_set(versioned: Versioned) -> None:
    pipeline = versioned(a_step("data"))
    pipeline.save_version()
    pipeline.version = "v2"
    pipeline.save_version()
    assert pipeline.list_versions() == ["v1", "v2"]


@pytest.mark.parametrize(
    "version",
    ["", ".", "..", "../v1", "a/b", "/v1", "v1\n", "v 1", ".v1", "-v1", "v" * 101, "vé", None, 1],
)
def test_a_version_that_is_not_a_valid_file_name_is_an_error(
    versioned: Versioned, version: Any
) -> None:
    with pytest.raises(InvalidVersionError) as caught:
        versioned(version=version)
    assert repr(version) in caught.value.what
    pipeline = versioned()
    with pytest.raises(InvalidVersionError):
        pipeline.version = version
    assert pipeline.version == "v1"


def test_a_version_outside_of_the_folder_is_not_read(versioned: Versioned, tmp_path: Path) -> None:
    versioned(a_step("data")).save_version()
    (tmp_path / "training" / "v1.json").rename(tmp_path / "stray.json")
    assert versioned().get_version("../stray") is None


def test_two_versions_that_differ_in_case_only_are_an_error(versioned: Versioned) -> None:
    versioned(a_step("data"), version="v1-rc").save_version()
    with pytest.raises(InvalidVersionError, match="v1-rc"):
        versioned(a_step("data"), version="v1-RC").save_version()


@pytest.mark.parametrize("name", ["../up", "a/b", "..", ".", "", "the model", "über"])
def test_versions_of_any_pipeline_name_are_saved_inside_the_folder(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "versions"
    pipeline = VersionedPipeline(name, versions_dir=folder)
    pipeline.add_step(a_step("data")).save_version()
    assert pipeline.list_versions() == ["v0.1.0"]
    (saved,) = tmp_path.rglob("*.json")
    assert saved.parent.parent == folder


def test_pipelines_with_different_names_have_separate_versions(tmp_path: Path) -> None:
    VersionedPipeline("a", versions_dir=tmp_path).add_step(a_step("data")).save_version()
    assert VersionedPipeline("b", versions_dir=tmp_path).list_versions() == []


def test_versions_are_saved_in_the_current_folder_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    VersionedPipeline("training").add_step(a_step("data")).save_version()
    assert (tmp_path / ".flowyml/versions/training/v0.1.0.json").is_file()


def test_saving_a_version_writes_no_other_files(versioned: Versioned, tmp_path: Path) -> None:
    versioned(a_step("data")).save_version()
    assert [path.name for path in tmp_path.rglob("*.*")] == ["v1.json"]


def test_an_invalid_pipeline_is_not_saved(versioned: Versioned) -> None:
    pipeline = versioned(a_step("data"), a_step("data"))
    with pytest.raises(InvalidPipelineError):
        pipeline.save_version()
    assert pipeline.list_versions() == []


def test_a_pipeline_with_external_inputs_can_be_saved(versioned: Versioned) -> None:
    saved = versioned(a_step("model", ("raw",), train)).save_version()
    assert saved.wiring["model"]["inputs"] == ["raw"]


@pytest.mark.parametrize(
    "value", [1, 0.5, True, None, "text", [1, [2]], {"a": {"b": [None]}}], ids=repr
)
def test_a_json_value_is_saved_unchanged(versioned: Versioned, value: Any) -> None:
    versioned(a_step("data"), context={"x": value}).save_version()
    read = versioned().get_version("v1")
    assert read is not None
    assert read.context_params == {"x": value}


class Custom:
    pass


@pytest.mark.parametrize(
    ("value", "shown", "kind"),
    [
        ((1, 2), "(1, 2)", "tuple"),
        ({1: 2}, "{1: 2}", "dict"),
        (float("nan"), "nan", "float"),
        ({1}, "{1}", "set"),
        (Path("a"), f"{Path('a')!r}", type(Path("a")).__name__),
        (Custom(), f"<{__name__}.Custom object>", "Custom"),
    ],
    ids=stable_repr,
)
def test_any_other_value_is_saved_as_its_repr_and_type(
    versioned: Versioned, value: Any, shown: str, kind: str
) -> None:
    versioned(a_step("data"), context={"x": value}).save_version({"y": value})
    read = versioned().get_version("v1")
    assert read is not None
    assert read.context_params["x"] == read.metadata["y"] == {"repr": shown, "type": kind}


def test_a_saved_value_does_not_change_with_the_original(versioned: Versioned) -> None:
    layers = [8]
    saved = versioned(a_step("data"), context={"layers": layers}).save_version()
    layers.append(16)
    assert saved.context_params == {"layers": [8]}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"format": "flowyml-aws/1"}', '{"version": "v1"}', "\xff"]
)
def test_an_invalid_version_file_is_an_error_that_names_the_file(
    versioned: Versioned, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "training" / "v1.json"
    path.parent.mkdir()
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InvalidVersionError, match=r"v1\.json") as caught:
        versioned().get_version("v1")
    assert caught.value.fix


def test_a_field_of_the_wrong_type_is_an_error_that_names_the_field(
    versioned: Versioned, tmp_path: Path
) -> None:
    versioned(a_step("data")).save_version()
    path = tmp_path / "training" / "v1.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "groups": []}))
    with pytest.raises(InvalidVersionError, match="'groups'"):
        versioned().compare_with("v1")


def test_comparing_with_an_unknown_version_is_an_error_that_lists_the_saved_versions(
    versioned: Versioned,
) -> None:
    versioned(a_step("data"), version="v0.9").save_version()
    with pytest.raises(UnknownVersionError, match=r"v0\.9") as caught:
        versioned(a_step("data")).compare_with("v3")
    assert "'v3'" in caught.value.what
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, FlowymlError)


def test_an_unchanged_pipeline_has_no_differences(versioned: Versioned) -> None:
    pipeline = versioned(a_step("data"), a_step("model", ("data",), train), context={"x": {1}})
    pipeline.save_version()
    comparison = pipeline.compare_with("v1")
    assert not comparison.changed
    assert str(comparison) == "training: v1 compared with v1\n  no differences"


def test_added_and_removed_steps_are_reported(versioned: Versioned) -> None:
    versioned(a_step("data"), a_step("old")).save_version()
    comparison = versioned(a_step("data"), a_step("new"), version="v2").compare_with("v1")
    assert (comparison.current_version, comparison.compared_to) == ("v2", "v1")
    assert (comparison.added_steps, comparison.removed_steps) == (("new",), ("old",))
    assert comparison.modified_steps == ()
    assert not comparison.step_order_changed


def test_a_modified_step_is_reported_with_its_changed_parts(
    versioned: Versioned, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = versioned(a_step("data"), a_step("model", ("data",), train))
    pipeline.save_version()
    monkeypatch.setitem(globals(), "RATE", 0.2)
    comparison = pipeline.compare_with("v1")
    assert comparison.modified_steps == ("model",)
    parts = comparison.changed_parts["model"]
    assert [name.rpartition(".")[2] for name in parts.modified] == ["RATE"]
    assert not parts.added
    assert not parts.removed


def test_a_step_with_another_function_is_modified(versioned: Versioned) -> None:
    versioned(a_step("data"), a_step("model", ("data",), train)).save_version()
    comparison = versioned(a_step("data"), a_step("model", ("data",), train_better)).compare_with(
        "v1"
    )
    parts = comparison.changed_parts["model"]
    assert [name.rpartition(".")[2] for name in parts.added] == ["train_better"]
    assert [name.rpartition(".")[2] for name in parts.removed] == ["train"]


def test_changed_resources_are_reported_separately_from_modified_steps(
    versioned: Versioned,
) -> None:
    versioned(a_step("a", resources={"cpu": "4"}), a_step("b"), a_step("c")).save_version()
    comparison = versioned(
        a_step("a", resources={"cpu": "8"}), a_step("b", resources={"memory": "8Gi"}), a_step("c")
    ).compare_with("v1")
    assert comparison.modified_steps == ()
    changes = comparison.resource_changes
    assert list(changes.modified) == ["a"]
    assert [changes.modified["a"][key]["cpu"] for key in ("old", "new")] == ["4", "8"]
    assert list(changes.added) == ["b"]


def test_changed_groups_are_reported(versioned: Versioned) -> None:
    versioned(
        a_step("a", execution_group="g"),
        a_step("b", ("a",), train, execution_group="g"),
        a_step("c", ("b",), train, execution_group="old"),
    ).save_version()
    changes = (
        versioned(
            a_step("a", execution_group="g"),
            a_step("b", ("a",), train, execution_group="new"),
            a_step("c", ("b",), train),
        )
        .compare_with("v1")
        .group_changes
    )
    assert changes.added == {"new": ["b"]}
    assert changes.removed == {"old": ["c"]}
    assert changes.modified == {"g": {"old": ["a", "b"], "new": ["a"]}}


def test_a_changed_step_order_is_reported(versioned: Versioned) -> None:
    versioned(a_step("a"), a_step("b")).save_version()
    comparison = versioned(a_step("b"), a_step("x"), a_step("a")).compare_with("v1")
    assert comparison.step_order_changed
    assert comparison.step_order == {"old": ["a", "b"], "new": ["b", "a"]}


def test_changed_inputs_of_a_step_are_reported(versioned: Versioned) -> None:
    versioned(a_step("a"), a_step("b"), a_step("model", ("a",), train)).save_version()
    comparison = versioned(a_step("a"), a_step("b"), a_step("model", ("b",), train)).compare_with(
        "v1"
    )
    assert comparison.modified_steps == ()
    change = comparison.wiring_changes.modified["model"]
    assert (change["old"]["inputs"], change["new"]["inputs"]) == (["a"], ["b"])


def test_context_changes_are_reported_with_old_and_new_values(versioned: Versioned) -> None:
    versioned(a_step("a"), context={"rate": 0.1, "seed": 1, "old": "x"}).save_version()
    changes = (
        versioned(a_step("a"), context=Context(rate=0.2, seed=1, new=[1]))
        .compare_with("v1")
        .context_changes
    )
    assert changes.added == {"new": [1]}
    assert changes.removed == {"old": "x"}
    assert changes.modified == {"rate": {"old": 0.1, "new": 0.2}}


def test_a_context_value_of_another_type_is_a_change(versioned: Versioned) -> None:
    versioned(a_step("a"), context={"x": 1}).save_version()
    for value in (True, 1.0, "1"):
        comparison = versioned(a_step("a"), context={"x": value}).compare_with("v1")
        assert list(comparison.context_changes.modified) == ["x"]


def test_a_comparison_is_a_mapping(versioned: Versioned) -> None:
    versioned(a_step("a"), context={"rate": 0.1}).save_version()
    comparison = versioned(a_step("b"), context={"rate": 0.2}, version="v2").compare_with("v1")
    assert comparison["added_steps"] == ["b"]
    assert comparison["removed_steps"] == ["a"]
    assert comparison["context_changes"]["modified"] == {"rate": {"old": 0.1, "new": 0.2}}
    assert dict(comparison) == comparison.to_dict()
    assert json.loads(json.dumps(comparison.to_dict())) == comparison.to_dict()
    with pytest.raises(KeyError):
        comparison["no_such_key"]


def test_a_comparison_as_text(versioned: Versioned, monkeypatch: pytest.MonkeyPatch) -> None:
    versioned(
        a_step("data", execution_group="g"),
        a_step("model", ("data",), train, resources={"cpu": "4"}),
        a_step("old"),
        context={"epochs": 1, "gone": "x"},
    ).save_version()
    monkeypatch.setitem(globals(), "RATE", 0.2)
    comparison = versioned(
        a_step("new"),
        a_step("data"),
        a_step("model", ("data",), train),
        context={"epochs": 2},
        version="v2",
    ).compare_with("v1")
    lines = str(comparison).splitlines()
    assert lines[:4] == [
        "training: v2 compared with v1",
        "  + step new",
        "  - step old",
        "  ~ step model",
    ]
    assert lines[4].strip() == f"~ {__name__}.RATE"
    assert lines[5:6] == ['  - group g: ["data"]']
    assert lines[6].startswith('  - resources of model: {"cpu": "4"')
    assert lines[7:] == ['  - context gone: "x"', "  ~ context epochs: 1 → 2"]


@pytest.mark.contract
def test_a_versioned_pipeline_is_built_planned_and_run_like_a_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOWYML_AWS_LOCAL_STORE", str(tmp_path / "store"))
    pipeline = VersionedPipeline("training", context=Context(rate=2.0))

    @step(outputs=["data"], execution_group="g")
    def data() -> list[float]:
        return [1.0, 2.0]

    @step(inputs=["data"], outputs=["model"], execution_group="g")
    def model(data: list[float], rate: float) -> float:
        return sum(data) * rate

    assert pipeline.add_step(data).add_steps([model]) is pipeline
    assert pipeline.build() is pipeline
    assert pipeline.steps == [data, model]
    assert pipeline.context.rate == 2.0
    assert pipeline.pipeline.name == pipeline.name == "training"
    assert [group.execution_order for group in pipeline.step_groups] == [["data", "model"]]
    assert [job.name for job in pipeline.plan().jobs] == ["g"]
    assert pipeline.run(progress=False).outputs["model"] == 6.0
    assert pipeline.submit(context={"rate": 3.0}).wait().outputs["model"] == 9.0


def test_the_repr_contains_pipeline_and_version(versioned: Versioned) -> None:
    assert repr(versioned(a_step("a"))) == "VersionedPipeline('training', 'v1', 1 steps)"


def test_affinity_is_saved_as_plain_values(versioned: Versioned) -> None:
    resources = {"node_affinity": NodeAffinity({"zone": "a"})}
    pipeline = versioned(a_step("a", resources=resources))
    pipeline.save_version()
    assert not pipeline.compare_with("v1").changed
