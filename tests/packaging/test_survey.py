"""Survey of the names that steps use."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flowyml_aws import step
from flowyml_aws.code.bindings import Binding
from flowyml_aws.packaging.survey import Survey, survey

pytestmark = pytest.mark.version_sensitive

Define = Callable[..., ModuleType]


@pytest.fixture
def define(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Define:
    """Execute a source as a module of the project, with the files of the others already there."""

    def define(source: str, name: str = "program") -> ModuleType:
        module = ModuleType(name)
        module.__file__ = str(tmp_path / f"{name}.py")
        Path(module.__file__).write_text(textwrap.dedent(source))
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(textwrap.dedent(source), module.__file__, "exec"), vars(module))
        return module

    return define


def surveyed(*functions: Any, context: dict[str, Any] | None = None, **options: Any) -> Survey:
    steps = [step(name=f"step{n}", **options)(function) for n, function in enumerate(functions)]
    return survey(steps, context or {}, "/nowhere")


def used(*functions: Any, **options: Any) -> set[str]:
    """Return the names that the steps of these functions use, without the functions' own."""
    own = {f"{f.__module__}.{f.__qualname__}" for f in functions if hasattr(f, "__qualname__")}
    return {str(binding) for binding in surveyed(*functions, **options).bindings} - own


USES = {
    "a global": ("A = 1\ndef work(): return A", {"A"}),
    "a global of a nested function": ("A = 1\ndef work(): return [lambda: A for _ in ()]", {"A"}),
    "a helper": ("A = 1\ndef f(): return A\ndef work(): return f()", {"A", "f"}),
    "recursive helpers": (
        "def f(): return g()\ndef g(): return f()\ndef work(): return f()",
        {"f", "g"},
    ),
    "a function in a list": (
        "A = 1\ndef f(): return A\nALL = [f]\ndef work(): return ALL",
        {"A", "f", "ALL"},
    ),
    "a default": ("A = 1\ndef f(): return A\ndef work(x=f): pass", {"A", "f"}),
    "a default of a keyword": ("A = 1\ndef f(): return A\ndef work(*, x=f): pass", {"A", "f"}),
    "a closure": (
        "A = 1\ndef f(): return A\ndef make(g):\n def work(): return g()\n return work\n"
        "work = make(f)",
        {"A", "f"},
    ),
    "an object of a class": (
        "A = 1\nclass M:\n rate = 2\n def run(self): return A\nOBJECT = M()\n"
        "def work(): return OBJECT",
        {"A", "M", "M.rate", "M.run", "OBJECT"},
    ),
    "a base class": (
        "A = 1\nclass B:\n def run(self): return A\nclass M(B): pass\ndef work(): return M()",
        {"A", "B", "B.run", "M"},
    ),
    "a metaclass": (
        "A = 1\nclass B(type):\n def __call__(cls): return A\nclass M(metaclass=B): pass\n"
        "def work(): return M()",
        {"A", "B", "B.__call__", "M"},
    ),
    "methods of each kind": (
        "A = B = C = D = E = 1\n"
        "import functools\n"
        "class M:\n"
        " @staticmethod\n def a(): return A\n"
        " @classmethod\n def b(cls): return B\n"
        " @property\n def c(self): return C\n"
        " @functools.cached_property\n def d(self): return D\n"
        " @functools.lru_cache\n def e(self): return E\n"
        "def work(): return M()",
        {"A", "B", "C", "D", "E", "M", "M.a", "M.b", "M.c", "M.d", "M.e"},
    ),
    "an attribute of a class": (
        "def f(): pass\nclass M: rules = [f]\ndef work(): return M",
        {"f", "M", "M.rules"},
    ),
    "a class in a class": (
        "A = 1\nclass M:\n class N:\n  def run(self): return A\ndef work(): return M",
        {"A", "M", "M.N", "M.N.run"},
    ),
    "an exception": ("class E(Exception): pass\ndef work():\n try: f()\n except E: pass", {"E"}),
    "a decorated function": (
        "import functools\nA = B = 1\ndef deco(f):\n @functools.wraps(f)\n"
        " def inner(): return B, f()\n return inner\n"
        "@deco\ndef f(): return A\ndef work(): return f()",
        {"A", "B", "f"},
    ),
    "a cached function": (
        "from functools import cache\nA = 1\n@cache\ndef f(): return A\ndef work(): return f()",
        {"A", "f"},
    ),
    "a dispatching function": (
        "from functools import singledispatch\nA = B = 1\n@singledispatch\ndef f(x): return A\n"
        "@f.register\ndef _(x: int): return B\ndef work(): return f(1)",
        {"A", "B", "f", "_"},
    ),
    "a partial": (
        "import functools\nA = 1\ndef f(): return A\nP = functools.partial(f)\n"
        "def work(): return P()",
        {"A", "P", "f"},
    ),
    "a bound method": (
        "A = 1\nclass M:\n def run(self): return A\nrun = M().run\ndef work(): return run()",
        {"A", "M", "M.run", "run"},
    ),
    "eval": ("A = B = 1\ndef work(): return eval('A')", {"A", "B"}),
    "globals()": ("A = 1\ndef f(): pass\ndef work(): return globals()['A']", {"A", "f"}),
    "two steps": ("A = B = 1\ndef f(): return A\ndef work(): return B", {"B"}),
    "a local of the same name": ("A = 1\ndef work():\n A = 2\n return A", set()),
    "an attribute of the same name": ("A = 1\ndef work(x): return x.A", set()),
    "a missing name": ("def work(): return A", set()),
    "metadata": ("def work(): return __file__, __name__, __doc__", set()),
    "installed packages": (
        "import os, pytest\ndef work(): return os.sep, pytest",
        {"os", "pytest"},
    ),
}


@pytest.mark.parametrize(("source", "names"), USES.values(), ids=USES.keys())
def test_the_names_that_a_step_uses_are_found(source: str, names: set[str], define: Define) -> None:
    program = define(source)
    assert used(program.work) - {"program.work"} == {f"program.{name}" for name in names}


MODULES = {
    "an attribute": ("import settings\ndef work(): return settings.FACTOR", {"FACTOR"}),
    "an attribute under another name": (
        "import settings as s\ndef work(): return s.FACTOR",
        {"FACTOR"},
    ),
    "a name": ("from settings import FACTOR\ndef work(): return FACTOR", set()),
    "a function": (
        "import settings\ndef work(): return settings.scale()",
        {"scale", "FACTOR"},
    ),
    "a function by its name": (
        "from settings import scale\ndef work(): return scale()",
        {"scale", "FACTOR"},
    ),
    "an import in the function": (
        "def work():\n import settings\n return settings.FACTOR",
        {"FACTOR"},
    ),
    "an import of a name in the function": (
        "def work():\n from settings import scale as f\n return f()",
        {"scale", "FACTOR"},
    ),
    "an import of a module in a nested function": (
        "def work():\n def f():\n  import settings as s\n  return s.FACTOR\n return f()",
        {"FACTOR"},
    ),
    "a module as a value": (
        "import settings\ndef work(): return vars(settings)",
        {"FACTOR", "OTHER", "scale"},
    ),
    "a module by getattr": (
        "import settings\ndef work(): return getattr(settings, 'FACTOR')",
        {"FACTOR", "OTHER", "scale"},
    ),
    "an attribute that does not exist": (
        "import settings\ndef work(): return settings.MISSING",
        set(),
    ),
}


@pytest.mark.parametrize(("source", "names"), MODULES.values(), ids=MODULES.keys())
def test_the_names_of_another_module_that_a_step_uses_are_found(
    source: str, names: set[str], define: Define
) -> None:
    define("FACTOR = 2\nOTHER = 1\ndef scale(): return FACTOR", "settings")
    found = {name for name in used(define(source).work) if name.startswith("settings.")}
    assert found == {f"settings.{name}" for name in names}


def test_attributes_of_submodules_are_found(define: Define) -> None:
    package = define("A = 1", "package")
    package.sub = define("B = C = 1", "package.sub")  # type: ignore[attr-defined]
    package.__path__ = []
    program = define(
        """
        import package.sub
        def by_chain(): return package.sub.B
        def by_import():
            from package import sub
            return sub.C
        """
    )
    assert "package.sub.B" in used(program.by_chain)
    assert "package.sub.C" not in used(program.by_chain)
    assert "package.sub.C" in used(program.by_import)


def test_conditions_count_as_used(define: Define) -> None:
    program = define("A = 1\ndef holds(): return A\ndef work(): pass")
    assert used(program.work, condition=program.holds) == {"program.A", "program.holds"}


def test_the_classes_of_context_values_count_as_used(define: Define) -> None:
    program = define(
        """
        A = 1
        class Model:
            rate = 2
            def run(self): return A
        def work(model): pass
        """
    )
    seen = surveyed(program.work, context={"model": [program.Model()], "other": 3})
    names = {str(b) for b in seen.used_by(["step0"], ["model"])} - {"program.work"}
    assert names == {"program.A", "program.Model", "program.Model.rate", "program.Model.run"}
    assert {str(b) for b in seen.used_by(["step0"], ["other"])} == {"program.work"}


def test_each_step_uses_only_its_own_names(define: Define) -> None:
    program = define(
        """
        A = B = SHARED = 1
        class Model:
            def run(self): return B
        def helper(): return SHARED
        def first(): return A, helper()
        def second(x=Model): return helper()
        """
    )
    seen = surveyed(program.first, program.second)
    names = [{b.name for b in seen.used_by([f"step{n}"], ())} for n in (0, 1)]
    assert names == [
        {"first", "A", "helper", "SHARED"},
        {"second", "Model", "Model.run", "B", "helper", "SHARED"},
    ]
    assert {b.name for b in seen.used_by(["step0", "step1"], ())} == names[0] | names[1]


def test_values_have_their_states(define: Define) -> None:
    program = define(
        """
        import datetime, threading
        A = [1]
        LOCK = threading.Lock()
        NOW = datetime.datetime.now()
        class Model:
            lock = threading.Lock()
        def work(): return A, LOCK, NOW, Model
        """
    )
    bindings = {b.name: s for b, s in surveyed(program.work).bindings.items()}
    assert bindings["A"].value is program.A
    kinds = {n: (s.state.is_comparable, s.state.has_moment) for n, s in bindings.items()}
    assert kinds["A"] == (True, False)
    assert kinds["LOCK"] == (False, False)
    assert kinds["NOW"] == (True, True)
    assert kinds["Model.lock"] == (False, False)
    assert [name for name, s in bindings.items() if s.is_attribute] == ["Model.lock"]


ASSIGNED = {
    "at the top": ("LOCK = Lock()", None),
    "under the guard": (
        'if __name__ == "program":\n    LOCK = Lock()',
        'it is assigned under `if __name__ == "__main__":`',
    ),
    "in a function": (
        "LOCK = None\ndef connect():\n    global LOCK\n    LOCK = Lock()\nconnect()",
        "connect() assigns it",
    ),
    "in a block": ("try:\n    LOCK = Lock()\nexcept OSError:\n    LOCK = None", None),
}


@pytest.mark.parametrize(("source", "place"), ASSIGNED.values(), ids=ASSIGNED.keys())
def test_an_unusual_place_where_a_lock_is_assigned_is_known(
    source: str, place: str | None, define: Define
) -> None:
    program = define(f"from threading import Lock\n{source}\ndef work(): return LOCK")
    lock = next(s for b, s in surveyed(program.work).bindings.items() if b.name == "LOCK")
    assert lock.assigned == place


def test_names_with_which_a_lock_is_made_are_known(define: Define) -> None:
    program = define(
        """
        from threading import Lock
        URL = "a"
        def options(): return URL
        class Client:
            def __init__(self, *arguments): self.lock = Lock()
        CLIENT = Client(options())
        def work(): return CLIENT
        """
    )
    found = surveyed(program.work).bindings
    client = next(s for b, s in found.items() if b.name == "CLIENT")
    assert {binding.name for binding in client.uses} == {"Client", "options"}
    assert "program.URL" in {str(binding) for binding in found}


def test_a_path_through_a_link_counts_as_the_path_of_the_project(
    define: Define, tmp_path: Path
) -> None:
    program = define("import pathlib\nFOLDER = pathlib.Path(__file__).parent\ndef work(): FOLDER")
    link = tmp_path.with_name(f"{tmp_path.name}-link")
    link.symlink_to(tmp_path)
    states = []
    for folder in (tmp_path, link):
        program.__file__ = str(folder / "program.py")
        vars(program)["FOLDER"] = folder / "data"
        found = survey([step(name="s")(program.work)], {}, str(tmp_path)).bindings
        states.append(next(s.state for b, s in found.items() if b.name == "FOLDER"))
    assert states[0] == states[1]


def test_a_class_that_its_module_makes_on_demand_is_no_binding(define: Define) -> None:
    lazy = define(
        """
        class _Model:
            rate = 1
            def run(self): return FACTOR
        _Model.__qualname__ = "Model"
        FACTOR = 2

        def __getattr__(name):
            return _Model
        """,
        "lazy",
    )
    program = define("from lazy import Model\nMODEL = Model()\ndef work(): return MODEL.run()")
    assert lazy.Model.__qualname__ == "Model"
    assert used(program.work) >= {"program.MODEL", "lazy.FACTOR"}
    assert "lazy.Model" not in used(program.work)


MISSING = {
    "a global": ("def work(): return A", {"A"}),
    "a built-in name": ("def work(): return print", set()),
    "a local name": ("def work():\n A = 1\n return A", set()),
    "an attribute of a module": ("import settings\ndef work(): return settings.A", {"settings.A"}),
    "a name that a step imports": ("def work():\n from settings import A", {"settings.A"}),
    "any name of a module": ("import settings\ndef work(): return settings", {"settings."}),
    "any global": ("def work(): return globals()", {""}),
    "an attribute of a class": ("class Model: rate = 1\ndef work(): return Model", set()),
}


@pytest.mark.parametrize(("source", "names"), MISSING.values(), ids=MISSING.keys())
def test_names_that_are_missing_here_but_may_exist_in_jobs_are_used(
    source: str, names: set[str], define: Define
) -> None:
    define("FACTOR = 1", "settings")
    program = define(source)
    found = surveyed(program.work)
    missing = found.used_by(["step0"], []) - found.bindings.keys()
    assert {str(binding).removeprefix("program.") for binding in missing} == names
    owners = {str(binding).removeprefix("program.") for binding in found.names}
    if "class" in source:
        assert found.names[Binding("program", "Model")] == {"rate"}
    assert owners >= {name.rpartition(".")[0] + "." for name in names if "." in name}
