"""States of bindings: equal for equal values in any process, different for different ones."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest

from flowyml_aws.code.bindings import Binding
from flowyml_aws.code.states import BindingReader, State, names_in
from tests.runtime.harness import environment

pytestmark = pytest.mark.version_sensitive

VALUES = Path(__file__).parents[1] / "support" / "kinds_of_values.py"
READ = """
import json, sys
from pathlib import Path
from flowyml_aws.code.bindings import Binding
from flowyml_aws.code.states import BindingReader
import kinds_of_values

reader = BindingReader(lambda module: module, str(Path(kinds_of_values.__file__).parent))
names = list(kinds_of_values.VALUES)
for name, value in vars(kinds_of_values).items():
    if name in names or getattr(value, "__module__", None) != "kinds_of_values":
        continue
    names.append(name)
    if isinstance(value, type):
        methods = [n for n, v in vars(value).items() if n[:2] != "__" or hasattr(v, "__code__")]
        names += [f"{name}.{attribute}" for attribute in methods]
states = {}
for name in names:
    state = reader.state(Binding("kinds_of_values", name))
    states[name] = [state.digest, state.is_comparable, state.has_moment]
print(json.dumps(states))
"""

States = dict[str, tuple[str, bool, bool]]
Define = Callable[..., ModuleType]


@pytest.fixture
def define(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Define:
    """Execute a source as the module `program`, which it replaces."""

    def define(source: str, folder: Path = tmp_path) -> ModuleType:
        folder.mkdir(exist_ok=True)
        module = ModuleType("program")
        module.__file__ = str(folder / "program.py")
        Path(module.__file__).write_text(textwrap.dedent(source))
        monkeypatch.setitem(sys.modules, "program", module)
        exec(compile(textwrap.dedent(source), module.__file__, "exec"), vars(module))
        return module

    return define


def state(name: str, folder: Path | str = "", by_source: bool = False) -> State:
    reader = BindingReader(lambda module: module, str(folder))
    return reader.state(Binding("program", name), by_source)


@pytest.mark.contract
def test_states_are_equal_with_each_seed_of_string_hashes_and_in_each_folder(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        processes = []
        for seed, folder in (("1", tmp_path / "a"), ("2", tmp_path / "another" / "longer-path")):
            folder.mkdir(parents=True)
            (folder / VALUES.name).write_bytes(VALUES.read_bytes())
            process = subprocess.Popen(
                [sys.executable, "-c", READ],
                cwd=folder,
                env=environment(PYTHONHASHSEED=seed),
                stdout=subprocess.PIPE,
                text=True,
            )
            processes.append(stack.enter_context(process))
        first, second = (json.loads(process.communicate()[0]) for process in processes)
    assert len(first) > 120
    assert {name: first[name] for name in first if first[name] != second[name]} == {}
    expected = {"comparable": [True, False], "moments": [True, True], "incomparable": [False] * 2}
    kinds = {name: seen[1:] for name, seen in first.items() if ": " in name}
    assert {n: k for n, k in kinds.items() if k != expected[n.partition(":")[0]]} == {}


CHANGES = {
    "a number": ("value = 1", "value = 2"),
    "a kind of number": ("value = 1", "value = True"),
    "a string": ("value = 'a'", "value = b'a'"),
    "an item of a list": ("value = [1, [2]]", "value = [1, [3]]"),
    "the order of a mapping": ("value = dict(a=1, b=2)", "value = dict(b=2, a=1)"),
    "an item of a set": ("value = {1, 2}", "value = {1, 3}"),
    "two names of one list": ("x = [1]; value = [x, x]", "value = [[1], [1]]"),
    "the code of a function": ("def value(): return 1", "def value(): return 2"),
    "the code of an inner function": (
        "def value(): return [n for n in 'a']",
        "def value(): return [n for n in 'b']",
    ),
    "a name that a function reads": ("def value(): return a", "def value(): return b"),
    "the order of operands": ("def value(a, b): return a - b", "def value(a, b): return b - a"),
    "a handler": (
        "def value():\n try: f()\n except KeyError: pass",
        "def value():\n try: f()\n except IndexError: pass",
    ),
    "a default": ("def value(x=[1]): pass", "def value(x=[2]): pass"),
    "a default of a keyword": ("def value(*, x=1): pass", "def value(*, x=2): pass"),
    "a parameter": ("def value(x): pass", "def value(*x): pass"),
    "a variable of a closure": (
        "def make(n):\n def f(): return n\n return f\nvalue = make(1)",
        "def make(n):\n def f(): return n\n return f\nvalue = make(2)",
    ),
    "a function in a closure": (
        "def make(g):\n def f(): return g()\n return f\nvalue = make(lambda: 1)",
        "def make(g):\n def f(): return g()\n return f\nvalue = make(lambda: 2)",
    ),
    "a recursive closure": (
        "def make(k):\n def f(n): return f(n - k)\n return f\nvalue = make(1)",
        "def make(k):\n def f(n): return f(n - k)\n return f\nvalue = make(2)",
    ),
    "one of mutually recursive closures": (
        "def make():\n def f(): return g() + 1\n def g(): return f()\n return g\nvalue = make()",
        "def make():\n def f(): return g() + 2\n def g(): return f()\n return g\nvalue = make()",
    ),
    "an attribute of a function": (
        "def value(): pass\nvalue.calls = 1",
        "def value(): pass\nvalue.calls = 2",
    ),
    "a decorated function": (
        "import functools\ndef f(): return 1\nvalue = functools.wraps(f)(lambda: f())",
        "import functools\ndef f(): return 1\nvalue = functools.wraps(f)(lambda: f() + 1)",
    ),
    "a cached function": (
        "from functools import lru_cache\n@lru_cache\ndef value(x=1): pass",
        "from functools import lru_cache\n@lru_cache\ndef value(x=2): pass",
    ),
    "the default of a dispatching function": (
        "from functools import singledispatch\n@singledispatch\ndef value(x, y=1): pass",
        "from functools import singledispatch\n@singledispatch\ndef value(x, y=2): pass",
    ),
    "the types of a dispatching function": (
        "from functools import singledispatch\n@singledispatch\ndef value(x): pass",
        "from functools import singledispatch\n@singledispatch\ndef value(x): pass\n"
        "value.register(int, lambda x: 1)",
    ),
    "a function of a partial": (
        "import functools\nvalue = functools.partial(lambda: 1)",
        "import functools\nvalue = functools.partial(lambda: 2)",
    ),
    "an argument of a partial": (
        "import functools\nvalue = functools.partial(max, 1)",
        "import functools\nvalue = functools.partial(max, 2)",
    ),
    "the object of a method": ("value = [1].count", "value = [2].count"),
    "a base of a class": ("class value: pass", "class value(list): pass"),
    "the metaclass of a class": (
        "class value: pass",
        "class M(type): pass\nclass value(metaclass=M): pass",
    ),
    "the value of an enum's member": (
        "import enum\nclass value(enum.Enum): A = [1]",
        "import enum\nclass value(enum.Enum): A = [2]",
    ),
    "the default of a model's field": (
        "import pydantic\nclass value(pydantic.BaseModel): x: int = 1",
        "import pydantic\nclass value(pydantic.BaseModel): x: int = 2",
    ),
    "an attribute of a class made by a call": (
        "value = type('Made', (), {'x': 1})",
        "value = type('Made', (), {'x': 2})",
    ),
    "an attribute of a class of a function": (
        "def make(n):\n class Local: x = n\n return Local\nvalue = make(1)",
        "def make(n):\n class Local: x = n\n return Local\nvalue = make(2)",
    ),
    "an attribute of an object": (
        "class A: pass\nvalue = A(); value.x = 1",
        "class A: pass\nvalue = A(); value.x = 2",
    ),
    "a slot of an object": (
        "class A: __slots__ = 'x'\nvalue = A(); value.x = 1",
        "class A: __slots__ = 'x'\nvalue = A(); value.x = 2",
    ),
    "an item of an object": (
        "class A(list): pass\nvalue = A([1])",
        "class A(list): pass\nvalue = A([2])",
    ),
    "the class of an object": (
        "class A: pass\nclass B: pass\nvalue = A()",
        "class A: pass\nclass B: pass\nvalue = B()",
    ),
    "a name of code": (
        "def f(): pass\ng = f\nvalue = f",
        "def f(): pass\ndef g(): pass\nvalue = g",
    ),
    "a field of a dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass A:\n x: int\nvalue = A(1)",
        "from dataclasses import dataclass\n@dataclass\nclass A:\n x: int\nvalue = A(2)",
    ),
    "a field of a model": (
        "import pydantic\nclass A(pydantic.BaseModel):\n x: int\nvalue = A(x=1)",
        "import pydantic\nclass A(pydantic.BaseModel):\n x: int\nvalue = A(x=2)",
    ),
    "an element of an array": (
        "import numpy\nvalue = numpy.array([1, 2])",
        "import numpy\nvalue = numpy.array([1, 3])",
    ),
    "the type of an array": (
        "import numpy\nvalue = numpy.array([1, 2], 'i4')",
        "import numpy\nvalue = numpy.array([1, 2], 'i8')",
    ),
    "the state of a generator": (
        "import numpy\nvalue = numpy.random.default_rng(1)",
        "import numpy\nvalue = numpy.random.default_rng(1); value.random()",
    ),
    "a cell of a frame": (
        "import pandas\nvalue = pandas.DataFrame({'a': [1]})",
        "import pandas\nvalue = pandas.DataFrame({'a': [2]})",
    ),
    "the index of a frame": (
        "import pandas\nvalue = pandas.DataFrame({'a': [1]})",
        "import pandas\nvalue = pandas.DataFrame({'a': [1]}, index=['x'])",
    ),
    "a value next to a lock": (
        "import threading\nvalue = {'lock': threading.Lock(), 'rate': 1}",
        "import threading\nvalue = {'lock': threading.Lock(), 'rate': 2}",
    ),
    "an attribute that pickling leaves out": (
        "class A:\n def __getstate__(self): return {}\nvalue = A(); value.x = 1",
        "class A:\n def __getstate__(self): return {}\nvalue = A(); value.x = 2",
    ),
    "a slot that pickling leaves out": (
        "class A:\n __slots__ = ('x',)\n def __reduce__(self): return A, ()\n"
        "value = A(); value.x = 1",
        "class A:\n __slots__ = ('x',)\n def __reduce__(self): return A, ()\n"
        "value = A(); value.x = 2",
    ),
    "a lock instead of None": ("value = None", "import threading\nvalue = threading.Lock()"),
}


@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES.keys())
def test_a_different_value_has_a_different_state(before: str, after: str, define: Define) -> None:
    define(before)
    first = state("value")
    define(before)
    assert state("value") == first
    define(after)
    assert state("value").digest != first.digest


def test_a_different_attribute_of_a_class_is_a_different_state_of_the_attribute(
    define: Define,
) -> None:
    bodies = [
        ("x = 1", "x = 2"),
        ("def x(self): return 1", "def x(self): return 2"),
        ("x = staticmethod(lambda: 1)", "x = staticmethod(lambda: 2)"),
        ("x = classmethod(lambda c: 1)", "x = classmethod(lambda c: 2)"),
        ("x = property(lambda s: 1)", "x = property(lambda s: 2)"),
        ("x = property(f, lambda s, v: 1)", "x = property(f, lambda s, v: 2)"),
        (
            "x = functools.cached_property(lambda s: 1)",
            "x = functools.cached_property(lambda s: 2)",
        ),
        ("x = functools.partialmethod(f, 1)", "x = functools.partialmethod(f, 2)"),
        ("x = functools.lru_cache(lambda s: 1)", "x = functools.lru_cache(lambda s: 2)"),
        (
            "x = functools.singledispatchmethod(lambda s: 1)",
            "x = functools.singledispatchmethod(lambda s: 2)",
        ),
    ]
    equal = []
    for before, after in bodies:
        seen = []
        for body in (before, before, after):
            define(f"import functools\ndef f(s): return 1\nclass Model:\n    {body}")
            seen.append((state("Model.x").digest, state("Model").digest))
        assert seen[0] == seen[1], before
        assert seen[1][1] == seen[2][1], f"the class itself does not depend on {before}"
        if seen[1][0] == seen[2][0]:
            equal.append(after)
    assert equal == []


def test_layout_and_comments_are_no_part_of_a_functions_state(define: Define) -> None:
    define("def value(x):\n    return x + 1")
    first = state("value")
    define("\n\n# a comment\ndef value(x):\n\n    return (x +\n        1)")
    assert state("value") == first


def test_objects_that_refer_to_changed_code_have_the_same_state(define: Define) -> None:
    """The code has a binding of its own."""
    source = "def f(): return {}\nclass A:\n def m(self): return {}\nvalue = [f, A, A()]"
    define(source.format(1, 1))
    first = state("value")
    define(source.format(2, 2))
    assert state("value") == first


def test_the_state_of_a_connection_is_no_part_of_a_state(define: Define) -> None:
    source = (
        "import queue\n"
        "class Client:\n"
        "    def __init__(self): self.queue, self.rate = queue.Queue(), 1\n"
        "value = Client()\n"
    )
    define(source)
    first = state("value")
    define(f"{source}value.queue.put([1, {{2}}])")
    assert state("value") == first
    assert not first.is_comparable
    define(f"{source}value.rate = 2")
    assert state("value") != first


def test_a_connection_that_pickling_leaves_out_is_no_part_of_a_state(define: Define) -> None:
    source = (
        "import threading\n"
        "class Client:\n"
        "    def __init__(self): self.rate, self.lock, self.shared = 1, {}, [1]\n"
        "    def __getstate__(self): return {{'rate': self.rate, 'shared': self.shared}}\n"
        "value = Client(), {{}}"
    )
    seen = []
    for lock in ("None", "threading.Lock()", "[threading.Lock(), [1]]"):
        define(source.format(lock, "[1]"))
        seen.append(state("value"))
    assert seen[0].is_comparable
    assert len(set(seen)) == 1


def test_values_after_a_connection_have_the_same_state_whatever_it_contains(define: Define) -> None:
    source = "import queue\nq = queue.Queue()\n{}\nshared = [1]\nvalue = [q, shared, shared]"
    define(source.format(""))
    first = state("value")
    define(source.format("q.put([[], [], []])"))
    assert state("value") == first


def test_another_project_folder_gives_the_same_state(define: Define, tmp_path: Path) -> None:
    source = """
        import pathlib
        FOLDER = pathlib.Path(__file__).parent
        value = [str(FOLDER), FOLDER / "a", {FOLDER / "b", pathlib.Path("/c" * 9)}, f"{FOLDER}!"]
    """
    seen = []
    for folder in (tmp_path / "a", tmp_path / "a-much-longer-name"):
        define(source, folder)
        seen.append(state("value", folder))
    assert seen[0] == seen[1]
    define(source.replace('"a"', '"z"'), folder)
    assert state("value", folder) != seen[1]


def test_the_source_counts_instead_of_bytecode_where_both_differ(define: Define) -> None:
    """pytest compiles test modules with other assertions than their files have."""
    module = define("def value(x):\n    return x\n\ndef other(x):\n    return x + 1")
    first = state("value"), state("value", by_source=True)
    module.value.__code__ = module.value.__code__.replace(co_consts=(None, "rewritten"))
    assert state("value") != first[0]
    assert state("value", by_source=True) == first[1]
    define("def value(x):\n    return x * 2")
    assert state("value", by_source=True) != first[1]


def test_a_missing_name_is_an_error(define: Define) -> None:
    define("class A: x = 1")
    for name in ("b", "A.y"):
        with pytest.raises(LookupError):
            state(name)


def test_user_code_in_values_is_reported(define: Define) -> None:
    module = define(
        """
        import functools
        def f(): pass
        def g(): pass
        class A: pass
        @functools.lru_cache
        def cached(): pass
        value = {"f": [f, functools.partial(g), A(), cached], "os": functools}
        """
    )
    found: list[object] = []
    BindingReader(lambda name: name, "", found.append).state(Binding("program", "value"))
    assert list(dict.fromkeys(found)) == [
        module.f,
        module.g,
        module.A,
        module.cached.__wrapped__,
    ]


def test_the_names_of_a_module_and_of_a_class_are_those_that_their_author_defines(
    define: Define,
) -> None:
    define(
        """
        import os, threading
        from os.path import join

        A, LOCK = 1, threading.Lock()

        def __getattr__(name): ...

        class Model:
            __slots__ = ("x",)
            rate = 1

            def __init__(self): ...

            @property
            def value(self): ...

            @staticmethod
            def static(): ...
        """
    )
    module, cls = names_in(Binding("program", "")), names_in(Binding("program", "Model"))
    assert module == {"A", "LOCK", "Model", "join", "__getattr__"}
    assert cls == {"rate", "__init__", "value", "static"}
    assert names_in(Binding("program", "A")) == set()
