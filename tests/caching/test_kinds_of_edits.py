"""The kinds of edits that change a key; docs/caching.md lists them in the same order."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.projects import Projects

pytestmark = pytest.mark.version_sensitive

HEAD = "from flowyml_aws import step\n"


def noticed(pipe: str, old: str, new: str, **others: str) -> tuple[Mapping[str, str], str, str]:
    """Return the modules of a project, and an edit in all of them. `train` is the step."""
    return {"pipe": HEAD + pipe, **others}, old, new


STEP = "@step\ndef train(x=1):\n    return "
CALL = "import plug\nimport h\n" + STEP
USE_H = "import h\n" + STEP

# Kind → modules, old text, new text. Others are in CHANGES of test_fingerprint.py.
EDITS = {
    # The step's own code
    "the body of a nested function": noticed(
        STEP.replace("return ", "def f():\n        return 1\n    return f()"),
        "return 1",
        "return 2",
    ),
    "a comprehension": noticed(STEP + "[i + 1 for i in range(x)]", "i + 1", "i + 2"),
    "a match statement": noticed(
        STEP.replace("return ", "match x:\n        case 1:\n            return 2\n"),
        "case 1",
        "case 3",
    ),
    "an asynchronous function": noticed(
        "@step\nasync def train():\n    return 1\n", "return 1", "return 2"
    ),
    "a keyword-only default": noticed("@step\ndef train(*, x=1):\n    return x\n", "x=1", "x=2"),
    "the order of parameters": noticed(
        "@step\ndef train(a=1, b=1):\n    return a - b\n", "a=1, b=1", "b=1, a=1"
    ),
    "a default that is set later": noticed(
        STEP + "x\ntrain.func.__defaults__ = (5,)\n", "(5,)", "(6,)"
    ),
    "an attribute that is set on the function": noticed(
        "def f():\n    return f.rate\nf.rate = 1\n" + STEP + "f()", "f.rate = 1", "f.rate = 2"
    ),
    "an argument of a partial": noticed(
        "import functools\ndef f(x):\n    return x\n"
        "train = step(name='train')(functools.partial(f, 1))\n",
        "partial(f, 1)",
        "partial(f, 2)",
    ),
    "an attribute of the object of a bound method": noticed(
        "class M:\n    def __init__(self, n):\n        self.n = n\n"
        "    def fit(self):\n        return self.n\ntrain = step(name='train')(M(1).fit)\n",
        "M(1)",
        "M(2)",
    ),
    "a docstring that the code reads": noticed(
        'def f():\n    """One."""\n' + STEP + "f.__doc__", "One.", "Two."
    ),
    "the module's docstring that the code reads": noticed(
        STEP + "h.__doc__\nimport h\n", "One.", "Two.", h='"""One."""\n'
    ),
    # Functions and values
    "a function in a container": noticed(
        "def f():\n    return 1\nTABLE = {'a': [f]}\n" + STEP + "TABLE", "return 1", "return 2"
    ),
    "a function under another name": noticed(
        "from h import f as g\n" + STEP + "g()", "= 1", "= 2", h="def f(x = 1):\n    return x\n"
    ),
    "a name from a star import": noticed(
        "from h import *\n" + STEP + "f()", "return 1", "return 2", h="def f():\n    return 1\n"
    ),
    "a lock from a star import": noticed(
        "from h import *\n" + STEP + "GATE",
        "(1)",
        "(2)",
        h="import threading\nGATE = threading.Semaphore(1)\n",
    ),
    "a constant that another module sets": noticed(
        CALL + "h.RATE", "h.RATE = 1", "h.RATE = 2", plug="import h\nh.RATE = 1\n", h="RATE = 0\n"
    ),
    "a function that another module replaces": noticed(
        CALL + "h.f()",
        "return 1",
        "return 2",
        plug="import h\ndef g():\n    return 1\nh.f = g\n",
        h="def f():\n    return 0\n",
    ),
    "a constant that is changed in place": noticed(
        CALL + "h.ROWS", "(1)", "(2)", plug="import h\nh.ROWS.append(1)\n", h="ROWS = []\n"
    ),
    "a built-in function that is replaced": noticed(
        CALL + "ascii(1)",
        "return 1",
        "return 2",
        plug="import builtins\ndef ascii_(x):\n    return 1\nbuiltins.ascii = ascii_\n",
        h="",
    ),
    "a function of a package that is replaced": noticed(
        "import json\n" + CALL + "json.dumps(1)",
        "return 1",
        "return 2",
        plug="import json\ndef dumps(value):\n    return 1\njson.dumps = dumps\n",
        h="",
    ),
    "a dict view": noticed("COLS = {'a': 1}.keys()\n" + STEP + "COLS", "'a'", "'b'"),
    "a memory view": noticed("DATA = memoryview(b'a')\n" + STEP + "DATA", "b'a'", "b'b'"),
    "a property object": noticed(
        "P = property(lambda self: 1)\n" + STEP + "P", "lambda self: 1", "lambda self: 2"
    ),
    "a module that is made at run time": noticed(
        "import types\nCONF = types.ModuleType('conf')\nCONF.x = 1\n" + STEP + "CONF.x",
        "CONF.x = 1",
        "CONF.x = 2",
    ),
    "a made module that is used as a value": noticed(
        "import types\nCONF = types.ModuleType('conf')\nCONF.x = 1\n" + STEP + "vars(CONF)",
        "CONF.x = 1",
        "CONF.x = 2",
    ),
    "a value set on a module that is used as a value": noticed(
        CALL + "getattr(h, 'RATE')",
        "h.RATE = 1",
        "h.RATE = 2",
        plug="import h\nh.RATE = 1\n",
        h="RATE = 0\n",
    ),
    "the definition of a generator": noticed(
        "ROWS = (i for i in range(1))\n" + STEP + "ROWS", "range(1)", "range(2)"
    ),
    "the function that sets a connection": noticed(
        "import threading\nDB = None\ndef connect():\n    global DB\n"
        "    DB = threading.Semaphore(1)\nconnect()\n" + STEP + "DB",
        "(1)",
        "(2)",
    ),
    # Classes
    "a class attribute": noticed("class C:\n    x = 1\n" + STEP + "C.x", "x = 1", "x = 2"),
    "a class attribute that another module sets": noticed(
        CALL + "h.C.x", "h.C.x = 1", "h.C.x = 2", plug="import h\nh.C.x = 1\n", h="class C: pass\n"
    ),
    "a class attribute that another module replaces": noticed(
        CALL + "h.C.x",
        "h.C.x = 1",
        "h.C.x = 2",
        plug="import h\nh.C.x = 1\n",
        h="class C:\n    x = 0\n",
    ),
    "a method that another module replaces": noticed(
        CALL + "h.C().f()",
        "return 1",
        "return 2",
        plug="import h\ndef f(self):\n    return 1\nh.C.f = f\n",
        h="class C:\n    def f(self):\n        return 0\n",
    ),
    "a wrapper that another module puts around a method": noticed(
        CALL + "h.C().f()",
        "return 1",
        "return 2",
        plug="import functools, h\ndef wrap(f):\n    @functools.wraps(f)\n"
        "    def inner(self):\n        return 1\n    return inner\nh.C.f = wrap(h.C.f)\n",
        h="class C:\n    def f(self):\n        return 0\n",
    ),
    "a default of a method that is set later": noticed(
        CALL + "h.C().f()",
        "(1,)",
        "(2,)",
        plug="import h\nh.C.f.__defaults__ = (1,)\n",
        h="class C:\n    def f(self, x=0):\n        return x\n",
    ),
    "a registry that subclasses fill": noticed(
        CALL + "h.Base.all",
        "return 1",
        "return 2",
        plug="import h\nclass A(h.Base):\n    def f(self):\n        return 1\n",
        h="class Base:\n    all = []\n"
        "    def __init_subclass__(cls):\n        Base.all.append(cls)\n",
    ),
    "a variable of the function that makes a class": noticed(
        "def make(n):\n    class C:\n        x = n\n    return C\nC = make(1)\n" + STEP + "C.x",
        "make(1)",
        "make(2)",
    ),
    "a metaclass": noticed(
        "class Meta(type):\n    def f(cls):\n        return 1\n"
        "class C(metaclass=Meta): pass\n" + STEP + "C.f()",
        "return 1",
        "return 2",
    ),
    "a class that `type` makes": noticed(
        "C = type('C', (), {'x': 1})\n" + STEP + "C.x", "'x': 1", "'x': 2"
    ),
    "a default factory of a made dataclass": noticed(
        "import dataclasses\n"
        "C = dataclasses.make_dataclass('C', [('x', int, dataclasses.field(default=1))])\n"
        + STEP
        + "C()",
        "default=1",
        "default=2",
    ),
    "a class decorator": noticed(
        "def add(cls):\n    cls.x = 1\n    return cls\n@add\nclass C: pass\n" + STEP + "C.x",
        "cls.x = 1",
        "cls.x = 2",
    ),
    "a field of a named tuple": noticed(
        "from typing import NamedTuple\nclass C(NamedTuple):\n    x: int = 1\n" + STEP + "C()",
        "int = 1",
        "int = 2",
    ),
    "a cached property": noticed(
        "import functools\nclass C:\n    @functools.cached_property\n"
        "    def x(self):\n        return 1\n" + STEP + "C().x",
        "return 1",
        "return 2",
    ),
    # Registrations and decorators
    "a registration of single dispatch in another module": noticed(
        CALL + "h.f(1)",
        "return 1",
        "return 2",
        plug="import h\ndef g(x):\n    return 1\nh.f.register(int, g)\n",
        h="from functools import singledispatch\n@singledispatch\ndef f(x):\n    return 0\n",
    ),
    "a registration of a dispatching method in another module": noticed(
        CALL + "h.C().f(1)",
        "return 1",
        "return 2",
        plug="import h\ndef g(self, x):\n    return 1\nh.C.__dict__['f'].register(int, g)\n",
        h="import functools\nclass C:\n    @functools.singledispatchmethod\n"
        "    def f(self, x):\n        return 0\n",
    ),
    "a registry that another module fills": noticed(
        CALL + "h.ALL['a']()",
        "return 1",
        "return 2",
        plug="import h\ndef a():\n    return 1\nh.ALL['a'] = a\n",
        h="ALL = {}\n",
    ),
    "an argument of a package's decorator": noticed(
        "import functools\n@functools.lru_cache(maxsize=1)\ndef f():\n    return 1\n"
        + STEP
        + "f()",
        "maxsize=1",
        "maxsize=2",
    ),
    "an argument of a package's decorator on the step": noticed(
        "import functools\n@step\n@functools.lru_cache(maxsize=1)\ndef train():\n    return 1\n",
        "maxsize=1",
        "maxsize=2",
    ),
    # Imports
    "a module that `import_module` names": noticed(
        STEP.replace("return ", "import importlib\n    return importlib.import_module('h').f()"),
        "return 1",
        "return 2",
        h="def f():\n    return 1\n",
    ),
    "a module that an imported `import_module` names": noticed(
        "from importlib import import_module\n" + STEP + "import_module(name='h').f()",
        "return 1",
        "return 2",
        h="def f():\n    return 1\n",
    ),
    "a module that `__import__` names": noticed(
        STEP + "__import__('h').f()", "return 1", "return 2", h="def f():\n    return 1\n"
    ),
    "a module that `runpy` names": noticed(
        "import runpy\n" + STEP + "runpy.run_module('h')", "X = 1", "X = 2", h="X = 1\n"
    ),
    "a module that the function imports": noticed(
        STEP.replace("return ", "import h as other\n    return other.X"),
        "X = 1",
        "X = 2",
        h="X = 1\n",
    ),
    "a constant set on a module that the function imports": noticed(
        "import plug\n" + STEP.replace("return ", "import h\n    return h.X"),
        "h.X = 1",
        "h.X = 2",
        plug="import h\nh.X = 1\n",
        h="X = 0\n",
    ),
    "a function set on a module that the function imports": noticed(
        "import plug\n" + STEP.replace("return ", "import h\n    return h.f()"),
        "return 1",
        "return 2",
        plug="import h\ndef g():\n    return 1\nh.f = g\n",
        h="def f():\n    return 0\n",
    ),
    "a conditional import": noticed(
        "try:\n    from nowhere import f\nexcept ImportError:\n    from h import f\n"
        + STEP
        + "f()",
        "return 1",
        "return 2",
        h="def f():\n    return 1\n",
    ),
}
# Kinds that do not change a key: the code can't show them. `cache_on=` is for these.
UNNOTICED = {
    "a module whose name is computed": noticed(
        "import importlib\n" + STEP + "importlib.import_module('h'.lower()).X",
        "X = 1",
        "X = 2",
        h="X = 1\n",
    ),
    "a method of a package's class that is replaced": noticed(
        "import string\n" + CALL + "string.Template('').x",
        "return 1",
        "return 2",
        plug="import string\ndef x(self):\n    return 1\nstring.Template.x = x\n",
        h="",
    ),
    "a computed global that another module sets in a module used as a value": noticed(
        CALL + "getattr(h, 'RATE')",
        "h.RATE = 1",
        "h.RATE = 2",
        plug="import h\nh.RATE = 1\n",
        h="RATE = int('0')\n",
    ),
    "a docstring": noticed('@step\ndef train():\n    """One."""\n    return 1\n', "One.", "Two."),
}


@pytest.fixture(autouse=True)
def packages_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins
    import json
    import string

    monkeypatch.setattr(builtins, "ascii", builtins.ascii)
    monkeypatch.setattr(json, "dumps", json.dumps)
    monkeypatch.setattr(string.Template, "x", None, raising=False)


def both(kind: tuple[Mapping[str, str], str, str], folder: Path) -> tuple[str, str]:
    files, old, new = kind
    edited = {name: text.replace(old, new) for name, text in files.items()}
    assert edited != files
    for text in (*files.values(), *edited.values()):
        ast.parse(text)
    projects = Projects(folder, files)
    before, after = projects.read(files), projects.read(edited)
    assert before.opaque == after.opaque == ()
    assert before.fingerprint == projects.read(files).fingerprint
    return before.fingerprint, after.fingerprint


@pytest.mark.parametrize("kind", EDITS.values(), ids=EDITS)
def test_the_key_changes_with(kind: tuple[Mapping[str, str], str, str], tmp_path: Path) -> None:
    before, after = both(kind, tmp_path)
    assert before != after


@pytest.mark.parametrize("kind", UNNOTICED.values(), ids=UNNOTICED)
def test_the_key_does_not_show(kind: tuple[Mapping[str, str], str, str], tmp_path: Path) -> None:
    before, after = both(kind, tmp_path)
    assert before == after
