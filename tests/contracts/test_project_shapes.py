"""Projects of every shape run as they do with plain Python, on this machine and on AWS."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from flowyml_aws import Run
from tests.contracts.conftest import BACKENDS
from tests.support.rigs import CHECKOUT, DEADLINE_S, BackendRig

# Jobs on this machine get the same bundle, and SageMaker only starts the runner in another way.
LOCAL, BATCH, _ = BACKENDS
THOROUGH_LOCAL = pytest.param("local", marks=[*LOCAL.marks, pytest.mark.thorough])
pytestmark = pytest.mark.parametrize("rig", [THOROUGH_LOCAL, BATCH], indirect=True)

HEAD = """
    import json, os, sys
    from flowyml_aws import Pipeline, step
"""
# The guard, so that imports of the script do not run it.
TAIL = """
    pipeline = Pipeline("p").add_step(work)
    if __name__ == "__main__":
        result = pipeline.run(backend=os.environ["TEST_BACKEND"], progress=False)
        print(json.dumps(result["found"] if result.success else result.summary()))
"""


def flow(*parts: str) -> str:
    """Return a script whose step `work` has the output `found`, which it prints."""
    return "".join(dedent(part) for part in (HEAD, *parts, TAIL))


def write(folder: Path, **files: str) -> None:
    """Write Python files by path without `.py`, with `__` for `/` and `init` for `__init__`."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        if path.stem in ("init", "main"):
            path = path.with_name(f"__{path.stem}__.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), "utf-8")


def found(rig: BackendRig, *command: str, **options: Any) -> Any:
    """Run Python with a command, and return the JSON document in its last line."""
    path = options.pop("path", ())
    settings = {
        **rig.environment,
        "TEST_BACKEND": rig.backend,
        "PYTHONPATH": ":".join(map(str, (*path, CHECKOUT))),
    }
    with replace(rig, environment=settings).client(*command, **options) as process:
        out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, out + err
    return json.loads(out.splitlines()[-1])


def commanded(rig: BackendRig, file: str) -> Any:
    """Run a file with the command line, and return the value of the asset `found`."""
    code, out, err = rig.command("run", file, "--backend", rig.backend)
    assert code == 0, out + err
    run_id = re.search(r"^run (\S+) on", out + err, re.MULTILINE)
    assert run_id is not None, out + err
    return Run.attach(run_id[1]).wait()["found"]


PACKAGE_FLOW = """
    from app import lib
    from .lib import VALUE

    @step(outputs=["found"])
    def work():
        from . import late
        from app.deep.er import DEEPER
        import app.late
        return [lib.VALUE, VALUE, late.LATE, app.late.LATE, DEEPER]
"""
PACKAGE = {
    "lib": "VALUE = 1",
    "late": "LATE = 2",
    "deep__er": "DEEPER = 3",
}
PACKAGE_FOUND = [1, 1, 2, 2, 3]


def write_package(folder: Path, marker: bool = True) -> None:
    """Write the package `app`, with or without `__init__.py`, and the pipeline `app.flow`."""
    write(folder, **{f"app__{name}": text for name, text in PACKAGE.items()})
    if marker:
        write(folder, app__init="", app__deep__init="")
    (folder / "app" / "flow.py").write_text(flow(PACKAGE_FLOW))


@pytest.mark.parametrize("marker", [True, False], ids=["package", "namespace"])
def test_a_module_that_python_runs_imports_its_own_package(rig: BackendRig, marker: bool) -> None:
    write_package(rig.folder, marker)
    assert found(rig, "-m", "app.flow") == PACKAGE_FOUND


@pytest.mark.usefixtures("new_pythons")
def test_a_package_that_python_runs(rig: BackendRig) -> None:
    write_package(rig.folder)
    (rig.folder / "app" / "flow.py").rename(rig.folder / "app" / "__main__.py")
    assert found(rig, "-m", "app") == PACKAGE_FOUND


def test_the_command_line_runs_a_module_of_a_package_in_src(rig: BackendRig) -> None:
    write_package(rig.folder / "src")
    assert commanded(rig, "src/app/flow.py") == PACKAGE_FOUND


def test_the_command_line_runs_a_script_that_imports_from_src(rig: BackendRig) -> None:
    write_package(rig.folder / "src")
    text = "from app.flow import pipeline"
    write(rig.folder, scripts__train=text)
    assert commanded(rig, "scripts/train.py") == PACKAGE_FOUND


def test_a_script_imports_from_src_by_the_path(rig: BackendRig) -> None:
    write_package(rig.folder / "src", marker=False)
    write(rig.folder, scripts__train=flow("from app.flow import work"))
    assert found(rig, "scripts/train.py", path=[rig.folder / "src"]) == PACKAGE_FOUND


def test_a_project_folder_with_the_name_of_its_package(rig: BackendRig) -> None:
    above = rig.folder.parent / "above"
    write_package(above)
    app = replace(rig, folder=above / "app")
    assert found(app, "-m", "app.flow", folder=above) == PACKAGE_FOUND


def test_a_project_folder_with_the_name_of_its_namespace_package(rig: BackendRig) -> None:
    above = rig.folder.parent / "above"
    write_package(above, marker=False)
    app = replace(rig, folder=above / "app")
    assert found(app, "-m", "app.flow", folder=above) == PACKAGE_FOUND


@pytest.mark.parametrize("folder", ["tests", ".hidden/tests"])
def test_steps_of_a_test_module_that_pytest_imports_by_its_path(
    rig: BackendRig, folder: str
) -> None:
    test = """
        import other

        @step(outputs=["found"])
        def work():
            import late
            return [RATE, other.VALUE, late.LATE, __name__, RULES["next"](1)]

        RATE, RULES = 7, {"next": lambda x: x + 1}  # pytest compiles the module in its own way

        def test_it():
            result = Pipeline("p").add_step(work).run(
                backend=os.environ["TEST_BACKEND"], progress=False
            )
            found = result["found"] if result.success else result.summary()
            assert found == [7, 1, 2, __name__, 2]
            assert [view.result.changed for view in result.status.jobs] == [{}]
            print(json.dumps("ran"))
    """
    (rig.folder / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = "lib"\n')
    write(rig.folder / "lib", other="VALUE = 1", late="LATE = 2")
    (rig.folder / folder).mkdir(parents=True)
    (rig.folder / folder / "test_it.py").write_text(dedent(HEAD) + dedent(test))
    options = ("-q", "-s", "-p", "no:cacheprovider", "--import-mode=importlib", "--no-header")
    code = f"import pytest; pytest.main([*{options!r}, {folder!r}]) and exit('failed'); print('0')"
    assert found(rig, "-c", code) == 0


SIBLINGS = """
    import neighbor
    from shared.tools import VALUE
    from ws.common import scaled
    try:
        import absent
    except ImportError:
        absent = None

    @step(outputs=["found"])
    def work():
        import alone
        from shared import late
        return [neighbor.VALUE, VALUE, scaled(2), late.LATE, alone.VALUE, absent is None]
"""


def write_siblings(folder: Path) -> list[Path]:
    """Write a project with modules in other folders, and return these folders."""
    write(folder / "flows", train=flow(SIBLINGS))
    write(folder / "libs", shared__init="", shared__tools="VALUE = 1", shared__late="LATE = 4")
    write(folder / "libs", unused="")
    write(
        folder / "ws" / "src", ws__common="from ws.unit import UNIT\ndef scaled(x): return x * UNIT"
    )
    write(folder / "ws" / "src", ws__unit="UNIT = 3")
    write(folder / "alone", alone="VALUE = 5")
    write(folder / "editable", neighbor__init="from neighbor.inner import VALUE")
    write(folder / "editable", neighbor__inner="VALUE = 6")
    (folder / "ws" / "pyproject.toml").touch()
    return [folder / "libs", folder / "ws" / "src", folder / "alone", folder / "editable"]


def test_modules_in_sibling_folders_and_workspaces(rig: BackendRig) -> None:
    path = write_siblings(rig.folder.parent / "mono")
    flows = replace(rig, folder=rig.folder.parent / "mono" / "flows")
    assert found(flows, "train.py", path=path) == [6, 1, 6, 4, 5, True]


def test_an_editable_install_next_door(rig: BackendRig) -> None:
    """The finder of an editable install, which `sys.path` does not show."""
    next_door = rig.folder.parent / "next"
    write(next_door, neighbor__init="", neighbor__inner="VALUE = 6", neighbor__late="LATE = 7")
    text = flow("""
        from neighbor.inner import VALUE

        @step(outputs=["found"])
        def work():
            from neighbor import late
            return [VALUE, late.LATE]
    """)
    write(rig.folder, train=text)
    write(rig.folder.parent / "site", sitecustomize=EDITABLE_FINDER.format(folder=next_door))
    assert found(rig, "train.py", path=[rig.folder.parent / "site"]) == [6, 7]


# As setuptools installs it: `sys.path` does not contain the package's folder.
EDITABLE_FINDER = """
import sys
from importlib.util import spec_from_file_location

class Finder:
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname == "neighbor":
            folder = {str(folder)!r} + "/neighbor"
            return spec_from_file_location(
                fullname, folder + "/__init__.py", submodule_search_locations=[folder]
            )

sys.meta_path.append(Finder)
""".replace("{str(folder)!r}", '"{folder}"')


def test_only_the_folders_of_the_client_are_searched_first(rig: BackendRig) -> None:
    """Files in the root do not replace Python's modules for a script in a folder below."""
    taken = "raise RuntimeError('imported from the root')"
    write(rig.folder, colorsys=taken, plugin=taken, joblib=taken)
    text = """
        import colorsys, joblib
        try:
            import plugin
        except ImportError:
            plugin = None

        def optional():
            try:
                import plugin
            except ImportError:
                return None
            return plugin

        @step(outputs=["found"])
        def work():
            from fractions import Fraction
            return [plugin, optional(), colorsys.__name__, bool(joblib.__version__)]
    """
    write(rig.folder, scripts__train=flow(text))
    assert found(rig, "scripts/train.py") == [None, None, "colorsys", True]


def test_a_module_that_reads_the_arguments(rig: BackendRig) -> None:
    write(
        rig.folder,
        options="""
            import argparse
            parser = argparse.ArgumentParser()
            parser.add_argument("--rate", type=int, required=True)
            OPTIONS = parser.parse_args()
        """,
        train=flow("""
            import options

            @step(outputs=["found"])
            def work():
                import late_options
                return [options.OPTIONS.rate, late_options.RATE]
        """),
        late_options="""
            from options import parser
            RATE = parser.parse_args().rate
        """,
    )
    assert found(rig, "train.py", "--rate", "3") == [3, 3]


@pytest.mark.usefixtures("new_pythons")
def test_a_script_on_standard_input(rig: BackendRig) -> None:
    write(rig.folder, lib="VALUE = 1")
    text = """
        import lib

        class Box:
            pass

        def doubled(x):
            return 2 * x

        RATE = 3

        @step(outputs=["found"])
        def work():
            return [doubled(RATE), lib.VALUE, isinstance(Box(), Box)]
    """
    assert found(rig, script=flow(text)) == [6, 1, True]
    assert found(rig, "-", script=flow(text)) == [6, 1, True]


@pytest.mark.usefixtures("new_pythons")
def test_code_on_the_command_line(rig: BackendRig) -> None:
    write(rig.folder, lib="VALUE = 1")
    text = """
        import lib

        @step(outputs=["found"])
        def work():
            return [lib.VALUE]
    """
    assert found(rig, "-c", flow(text)) == [1]


def test_unusual_names_and_line_ends(rig: BackendRig) -> None:
    """A hidden folder, spaces, letters outside ASCII, CRLF, a cookie, and links."""
    home = rig.folder.parent / ".hidden folder" / "größtes Projekt"
    write(home, größe="WERT = 'ü'", crlf="VALUE = '''a\nb'''\n")
    write(rig.folder.parent / "elsewhere", linked__late="LATE = 2", linked__module="VALUE = 1")
    (home / "crlf.py").write_bytes((home / "crlf.py").read_bytes().replace(b"\n", b"\r\n"))
    (home / "latin.py").write_bytes("# coding: latin-1\nVALUE = 'é'\n".encode("latin-1"))
    (home / "linked").symlink_to(rig.folder.parent / "elsewhere" / "linked")
    (home / "loop").mkdir()
    (home / "loop" / "__init__.py").touch()
    (home / "loop" / "self").symlink_to(home / "loop")
    (home / "other.py").symlink_to(home / "crlf.py")
    text = flow("""
        import crlf, größe, latin, linked.module, other

        TEXT = '''x
        y'''

        class Box:
            pass

        @step(outputs=["found"])
        def work():
            import linked.late
            return [crlf.VALUE, größe.WERT, latin.VALUE, linked.module.VALUE, linked.late.LATE,
                    other.VALUE, TEXT, Box.__qualname__]
    """)
    script = home / "mein flow.é 100%.py"
    script.parent.mkdir(exist_ok=True)
    script.write_bytes(text.encode().replace(b"\n", b"\r\n"))
    project = replace(rig, folder=home)
    expected = ["a\nb", "ü", "é", 1, 2, "a\nb", "x\ny", "Box"]
    assert found(project, script.name) == expected


def test_a_script_that_is_a_link(rig: BackendRig) -> None:
    write(
        rig.folder,
        real__lib="VALUE = 1",
        real__train=flow("""
            import lib

            @step(outputs=["found"])
            def work():
                return [lib.VALUE, os.path.basename(__file__)]
        """),
    )
    (rig.folder / "link.py").symlink_to("real/train.py")
    assert found(rig, "link.py") == [1, "link.py"]


def test_a_library_that_only_the_job_has(rig: BackendRig) -> None:
    site = rig.folder.parent / "only-in-job"
    write(site, joblibrary__init="VALUE = 1")
    text = f"""
        @step(outputs=["found"])
        def work():
            sys.path.append({str(site)!r})
            import joblibrary
            from joblibrary import VALUE
            return [joblibrary.VALUE, VALUE]
    """
    write(rig.folder, train=flow(text))
    assert found(rig, "train.py") == [1, 1]


def test_a_job_that_lacks_the_library_of_a_value_names_it(rig: BackendRig) -> None:
    """A step gets its inputs as values, so a job needs their libraries even to return them."""
    site = rig.folder.parent / "only-in-first-job"
    write(site, rarelib="class Value: pass")
    text = f"""
        import sys
        from flowyml_aws import Pipeline, step

        @step(outputs=["value"])
        def make():
            sys.path.append({str(site)!r})
            import rarelib
            return rarelib.Value()

        @step(inputs=["value"], outputs=["found"])
        def hand_on(value):
            return value

        pipeline = Pipeline("p").add_steps([make, hand_on])
    """
    write(rig.folder, train=text)
    code, out, err = rig.command("run", "train.py", "--backend", rig.backend)
    assert code != 0
    assert "needs a module that is not installed here" in out + err
    assert "fix: install rarelib" in out + err
