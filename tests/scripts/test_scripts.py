"""Scripts as modules: their names, and their execution for definitions."""

from __future__ import annotations

import importlib
import pickle
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws import scripts
from flowyml_aws.core.errors import PipelineFileError
from flowyml_aws.core.modules import SCRIPTS, is_users_module
from flowyml_aws.scripts import (
    MissingScriptError,
    Script,
    enter_main,
    main_script,
    resolve,
    script_path,
    stable_name,
)

pytestmark = pytest.mark.version_sensitive

Execute = Callable[..., ModuleType]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The project of this process, whose scripts are forgotten after the test."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOWYML_AWS_LOCAL_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(scripts, "_state", scripts._State())
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith(SCRIPTS)]:
        del sys.modules[name]


@pytest.fixture
def execute(folder: Path) -> Execute:
    """Execute a script as the main script of this process."""

    def execute(source: str, script: Script | None = None, **options: Any) -> ModuleType:
        script = script or Script("flow.py")
        file = folder / script.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source))
        enter_main(folder, script, **options)
        return importlib.import_module(script.module)

    return execute


NAMES = {
    "flow.py": "flow",
    "tools/train.py": "tools/train",
    "my flow-1.py": "my flow-1",
    "v1.2/flow.v3.py": "v1%2E2/flow%2Ev3",
    "100%.py": "100%25",
    "%2E.py": "%252E",
    "straße/数.py": "straße/数",
    ".hidden.py": "%2Ehidden",
    "flow.py.py": "flow%2Epy",
}


@pytest.mark.parametrize(("path", "name"), NAMES.items())
def test_a_script_has_a_name_from_its_path_without_dots(path: str, name: str) -> None:
    assert Script(path).module == f"flowyml_aws.scripts.{name}"
    assert script_path(f"flowyml_aws.scripts.{name}") == path


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_names_of_scripts_are_reversible(stem: str) -> None:
    module = Script(f"{stem}.py").module
    assert script_path(module) == f"{stem}.py"
    assert "." not in module.removeprefix(SCRIPTS)


def test_names_of_other_modules_are_no_paths_of_scripts() -> None:
    assert script_path("flowyml_aws.pipeline") is None
    assert script_path("flow") is None


@pytest.mark.parametrize("path", NAMES)
def test_a_script_is_imported_by_its_name(path: str, execute: Execute, folder: Path) -> None:
    module = execute("VALUE = __name__", Script(path))
    assert Path(module.__file__ or "") == folder / path
    assert Script(path).module == module.VALUE
    assert importlib.import_module(Script(path).module) is module


def test_the_main_script_is_main_and_has_the_package_of_its_module(execute: Execute) -> None:
    module = execute("", Script("app/flow.py", "app"))
    assert sys.modules["__main__"] is module
    assert (module.__package__, module.__spec__ and module.__spec__.parent) == ("app", "app")
    assert main_script() == (Path.cwd(), Script("app/flow.py", "app"))
    assert stable_name("__main__") == module.__name__ == "flowyml_aws.scripts.app/flow"


def test_a_file_has_no_package_as_in_python(execute: Execute) -> None:
    module = execute("from importlib.util import find_spec\nCACHED = '__cached__' in globals()")
    assert module.__package__ is None
    assert module.__spec__ is not None and module.__spec__.parent == ""
    assert not module.CACHED


def test_another_script_of_the_project_is_not_main(execute: Execute, folder: Path) -> None:
    main = execute("")
    (folder / "other.py").write_text("class Model: pass")
    other = importlib.import_module(Script("other.py").module)
    assert sys.modules["__main__"] is main
    assert is_users_module(other.__name__)
    assert resolve(other.__name__, "Model") is other.Model


def test_code_below_the_guard_is_not_executed(execute: Execute) -> None:
    module = execute("A = 1\nif __name__ == '__main__':\n    A = 2")
    assert module.A == 1


RUN = """
from flowyml_aws import Pipeline, step

@step(outputs=["n"])
def one():
    return 1

def main():
    Pipeline("p").add_step(one).run(progress=False)
"""
RUNS = {
    "at the top": f"{RUN}\nmain()\nAFTER = 1",
    "in a block": f"{RUN}\nwith open(__file__):\n    main()\nAFTER = 1",
    "in a loop": f"{RUN}\nfor _ in range(3):\n    main()\nAFTER = 1",
    "with a handler": f"{RUN}\ntry:\n    main()\nexcept Exception:\n    pass\nAFTER = 1",
    "in an event loop": f"{RUN}\nimport asyncio\nasync def amain(): main()\nasyncio.run(amain())\n"
    "AFTER = 1",
    "in a thread of an event loop": f"{RUN}\nimport asyncio\n"
    "async def amain(): await asyncio.to_thread(main)\nasyncio.run(amain())\nAFTER = 1",
    "in a pool of threads": f"{RUN}\nfrom concurrent.futures import ThreadPoolExecutor\n"
    "with ThreadPoolExecutor() as pool:\n    pool.submit(main).result()\nAFTER = 1",
    "by submit": f"{RUN}\nPipeline('p').add_step(one).submit()\nAFTER = 1",
}


@pytest.mark.parametrize("source", RUNS.values(), ids=RUNS.keys())
def test_execution_ends_at_the_first_run(source: str, execute: Execute, folder: Path) -> None:
    module = execute(source)
    assert hasattr(module, "one") and not hasattr(module, "AFTER")
    assert not (folder / "store").exists()


CAUGHT = {
    "a bare except": "try:\n    main()\nexcept:\n    pass\nAFTER = 1",
    "except BaseException": "try:\n    main()\nexcept BaseException as e:\n    print(e)\nAFTER = 1",
    "in a function": "def f():\n    try: main()\n    except: return 1\nx = f()\nAFTER = 1",
    "in two blocks": (
        "try:\n    try:\n        main()\n    except:\n        pass\n    INNER = 1\n"
        "except:\n    pass\nprint()\nAFTER = 1"
    ),
    "a loop": "while True:\n    try: main()\n    except: continue\nAFTER = 1",
    "a loop of attempts": (
        "for n in range(9):\n    try:\n        main()\n    except:\n        pass\nAFTER = 1"
    ),
    "a context manager": (
        "import contextlib\nwith contextlib.suppress(BaseException):\n    main()\nAFTER = 1"
    ),
    "a generator": (
        "import contextlib\n"
        "@contextlib.contextmanager\n"
        "def f():\n    try: yield\n    except: pass\n"
        "with f():\n    main()\nAFTER = 1"
    ),
    "an exit": "import sys\ntry:\n    main()\nexcept:\n    sys.exit(1)",
    "another error": "try:\n    main()\nexcept BaseException as e:\n    raise OSError from e",
    "an error in finally": "try:\n    result = main()\nfinally:\n    print(result)",
}


@pytest.mark.version_sensitive
@pytest.mark.parametrize("source", CAUGHT.values(), ids=CAUGHT.keys())
def test_a_script_that_catches_its_end_ends_after_the_handler(
    source: str, execute: Execute, folder: Path
) -> None:
    trace, profile = sys.gettrace(), sys.getprofile()
    module = execute(f"{RUN}\n{source}")
    assert hasattr(module, "one") and not hasattr(module, "AFTER")
    assert not hasattr(module, "INNER")
    assert (sys.gettrace(), sys.getprofile()) == (trace, profile)


def test_handlers_of_a_scripts_end_are_completed(execute: Execute) -> None:
    module = execute(
        f"{RUN}\n"
        "import contextlib\n"
        "ENDED = []\n"
        "def close():\n"
        "    try:\n"
        "        raise OSError\n"
        "    except OSError:\n"
        "        ENDED.append('close failed')\n"
        "    ENDED.append('closed')\n"
        "@contextlib.contextmanager\n"
        "def block(name):\n"
        "    try:\n"
        "        yield\n"
        "    finally:\n"
        "        ENDED.append(name)\n"
        "try:\n"
        "    try:\n"
        "        with block('second'), block('first'):\n"
        "            main()\n"
        "    finally:\n"
        "        ENDED.append('finally')\n"
        "        with block('outer'), block('inner'):\n"
        "            close()\n"
        "except:\n"
        "    ENDED.append('handler')\n"
        "    ENDED.append('end')\n"
        "ENDED.append('after')\n"
    )
    inside = ["first", "second", "finally", "close failed", "closed", "inner", "outer"]
    assert [*inside, "handler", "end"] == module.ENDED


def test_a_thread_that_has_ended_with_the_script_is_not_watched(execute: Execute) -> None:
    module = execute(
        f"{RUN}\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "POOL = ThreadPoolExecutor(1)\n"
        "POOL.submit(main).result()\n"
    )
    with module.POOL as pool:
        pool.submit(len, "abc").result()
        assert pool.submit(lambda: (sys.gettrace(), sys.getprofile())).result() == (None, None)


def test_finally_blocks_and_context_managers_end_with_the_script(execute: Execute) -> None:
    module = execute(
        f"{RUN}\n"
        "import contextlib\n"
        "ENDED = []\n"
        "with contextlib.ExitStack() as stack:\n"
        "    stack.callback(ENDED.append, 'block')\n"
        "    try:\n"
        "        main()\n"
        "    finally:\n"
        "        ENDED.append('finally')\n"
    )
    assert module.ENDED == ["finally", "block"]


def test_runs_are_possible_after_a_script_was_executed(execute: Execute) -> None:
    from flowyml_aws.core.loading import stop_while_loading

    execute(f"{RUN}\nmain()")
    stop_while_loading()


def test_a_module_that_a_script_imports_may_not_run_a_pipeline(
    execute: Execute, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the script like a run of the script itself, as Python would run it here."""
    monkeypatch.syspath_prepend(str(folder))
    (folder / "runs_at_import.py").write_text(f"{RUN}\nmain()")
    module = execute("BEFORE = 1\nimport runs_at_import\nAFTER = 1")
    assert (hasattr(module, "BEFORE"), hasattr(module, "AFTER")) == (True, False)


def test_an_error_of_the_script_is_raised_and_the_next_import_executes_it_again(
    execute: Execute, folder: Path
) -> None:
    with pytest.raises(ZeroDivisionError):
        execute("1 / 0")
    (folder / "flow.py").write_text("A = 1")
    assert importlib.import_module(Script("flow.py").module).A == 1


def test_a_missing_script_is_an_error_that_names_it(folder: Path) -> None:
    enter_main(folder, Script("flow.py"))
    with pytest.raises(MissingScriptError, match=r"The script tools/absent\.py is required") as e:
        importlib.import_module(Script("tools/absent.py").module)
    assert str(folder) in e.value.what
    assert isinstance(e.value, PipelineFileError)


def test_a_script_outside_the_project_is_missing(folder: Path) -> None:
    (folder.parent / "outside.py").touch()
    enter_main(folder, Script("flow.py"))
    with pytest.raises(MissingScriptError):
        importlib.import_module(Script("../outside.py").module)


def test_a_pickle_of_a_scripts_object_names_the_script(execute: Execute) -> None:
    module = execute("class Model:\n    size = 3")
    assert pickle.loads(pickle.dumps(module.Model())).size == 3
    assert module.Model.__module__ == "flowyml_aws.scripts.flow"


def test_the_source_may_come_from_a_snapshot(execute: Execute, folder: Path) -> None:
    sources: Mapping[Path, bytes] = {folder / "flow.py": b"A = 'snapshot'"}
    module = execute("A = 'disk'", read=sources.get)
    assert module.A == "snapshot"


def test_the_given_values_replace_the_assignments_of_their_names(execute: Execute) -> None:
    source = """
        import os
        DATA = os.environ["ABSENT"]
        TYPED: str = os.environ["ABSENT"]
        SIZE = len(DATA)
        FIRST = SECOND = 1
    """
    module = execute(source, given={"DATA": "data", "TYPED": "typed", "FIRST": 2})
    assert (module.DATA, module.TYPED, module.SIZE) == ("data", "typed", 4)
    assert (module.FIRST, module.SECOND) == (1, 1)


def test_a_function_is_called_after_the_script_was_executed(execute: Execute) -> None:
    called: list[int] = []
    execute("A = 1", after=lambda: called.append(sys.modules["__main__"].A))
    assert called == [1]
