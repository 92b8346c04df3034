"""Modules of the user in a job without FlowyML."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from flowyml_aws.core.errors import PipelineFileError
from flowyml_aws.core.loading import importing
from flowyml_aws.core.step_objects import is_flowyml_step
from flowyml_aws.runtime.flowyml_stand_in import Orchestrator, stand_in_for_flowyml

if importlib.util.find_spec("flowyml") is not None:
    pytest.skip("FlowyML is installed here", allow_module_level=True)


@pytest.fixture(autouse=True)
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before, modules = list(sys.meta_path), set(sys.modules)
    stand_in_for_flowyml()
    yield
    sys.meta_path[:] = before
    for name in set(sys.modules) - modules:
        if name.partition(".")[0] in ("flowyml", "steps") or "integrations.flowyml" in name:
            del sys.modules[name]


def imported(text: str) -> ModuleType:
    Path(sys.path[0], "steps.py").write_text(text, "utf-8")
    return importlib.import_module("steps")


def test_a_module_with_decorators_a_context_and_a_pipeline_is_imported() -> None:
    module = imported(
        """
from flowyml import Pipeline, VersionedPipeline, context, step
from flowyml.core.resources import GPUConfig, ResourceRequirements

@step
def bare():
    return 1

@step(outputs=["a"], execution_group="g", pipeline="p", register=False,
      resources=ResourceRequirements(cpu="2", gpu=GPUConfig("nvidia-t4")))
def load():
    return 2

pipeline = Pipeline("p", context=context(rows=3), project_name="x", enable_cache=False)
pipeline.add_step(load).add_steps([bare])
other = Pipeline.from_steps(load, bare, name="other")
versioned = VersionedPipeline("v", version="v1").add_step(load)
"""
    )
    assert (module.bare(), module.load.func()) == (1, 2)
    assert module.load.name == "load"
    assert [step.name for step in module.pipeline.steps] == ["load", "bare"]
    assert module.pipeline.context["rows"] == 3


def test_map_tasks_and_classes_of_steps_are_imported() -> None:
    module = imported(
        """
from flowyml import Step, map_task
from flowyml.core.map_task import MapTaskResult

class Logged(Step):
    def __init__(self, func, level, **options):
        super().__init__(func, **options)
        self.level = level

load = Logged(lambda: 2, "debug", name="load", outputs=["a"], cache=False, retry=1)

@map_task(concurrency=2, outputs=["squares"], timeout=60)
def square(number):
    return number ** 2

@map_task
def double(number):
    return 2 * number
"""
    )
    assert (module.load(), module.load.level) == (2, "debug")
    assert all(map(is_flowyml_step, (module.load, module.square, module.double)))
    assert module.square([2, 3]).results == [4, 9]
    assert type(module.double([1])) is module.MapTaskResult
    assert pickle.loads(pickle.dumps(module.double([1]))) == module.double([1])


def test_a_script_can_import_and_create_the_orchestrator() -> None:
    module = imported(
        "from flowyml_aws.integrations.flowyml import FlowymlAws\n"
        "orchestrator = FlowymlAws(backend='sagemaker', store_all=True)\n"
    )
    assert type(module.orchestrator) is Orchestrator


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("from flowyml import Dataset, step", "flowyml.Dataset"),
        ("import flowyml.assets.dataset", "flowyml.assets"),
        ("from flowyml.core.resources import Nothing", "flowyml.core.resources.Nothing"),
    ],
)
def test_a_missing_name_is_an_error_that_names_it(line: str, name: str) -> None:
    with pytest.raises(ImportError) as caught:
        imported(line)
    assert str(caught.value).startswith(f"{name} requires FlowyML")
    assert caught.value.name == "flowyml"


def test_a_pipeline_that_is_run_while_its_module_is_imported_is_refused() -> None:
    with importing("A module of the steps"), pytest.raises(PipelineFileError) as caught:
        imported("from flowyml import Pipeline\nPipeline('p').run()\n")
    assert '__name__ == "__main__"' in caught.value.fix


def test_other_missing_modules_raise_the_usual_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named 'flowyml_of_others'"):
        imported("import flowyml_of_others")
