from __future__ import annotations

import functools
import linecache
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import flowyml_aws
from flowyml_aws import Context, ResourceRequirements, step
from flowyml_aws.caching.fingerprint import Fingerprinter, fingerprint, parts
from tests.support.naming import stable_repr
from tests.support.projects import Projects

pytestmark = pytest.mark.version_sensitive

PIPELINE = '''
from __future__ import annotations

import math

import helpers
from helpers import CONFIG, Scaler, opened
from flowyml_aws import step

THRESHOLD = 0.5
LABELS = {"cat", "dog", "eel", "fox"}


def make(factor):
    @step(inputs=["data"], outputs=["model"], condition=lambda data: len(data) > helpers.LEAST)
    def train(data, power=2, *, scaler: Scaler = Scaler(3)):
        """Train."""
        # A comment.
        from later import finish

        with opened(factor) as start:
            total = sum(helpers.clean(x) ** power for x in data if x > THRESHOLD)
        return finish(scaler.scale(total) + start), f"{total:.3f} of {CONFIG.rate!r}", LABELS

    return train


train = make(4)


def unused():
    return math.pi
'''
HELPERS = '''
import functools
import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from deep import digits

LOG = logging.getLogger(__name__)
LOCK = threading.Lock()
LEAST = 3


class Kind(Enum):
    FAST = 1
    SLOW = 2


@dataclass(frozen=True)
class Config:
    """Settings."""

    rate: float
    kind: Kind = Kind.FAST


CONFIG = Config(0.1)


class Base:
    def scale(self, x):
        return x * self.factor


class Scaler(Base):
    def __init__(self, factor):
        self.factor = factor


def logged(function):
    @functools.wraps(function)
    def wrapper(*args):
        with LOCK:
            LOG.debug("called")
            return function(*args)

    return wrapper


@logged
def clean(x):
    return rounded(x) if is_even(3) else x


@functools.lru_cache(maxsize=None)
def rounded(x):
    return round(x, digits())


@contextmanager
def opened(x):
    yield x + 1


def is_even(n):
    return n == 0 or is_odd(n - 1)


def is_odd(n):
    return n != 0 and is_even(n - 1)
'''
DEEP = "def digits():\n    return 2\n"
LATER = "import latest\n\ndef finish(x):\n    return latest.finish(x)\n"
LATEST = "def finish(x):\n    return x\n"
FILES = {
    "pipe": PIPELINE,
    "helpers": HELPERS,
    "deep": DEEP,
    "later": LATER,
    "latest": LATEST,
}


@pytest.fixture
def projects(tmp_path: Path) -> Projects:
    return Projects(tmp_path, FILES)


def run_python(folder: Path, *arguments: str, seed: str = "0") -> str:
    paths = os.pathsep.join([str(Path(flowyml_aws.__path__[0]).parent), str(folder)])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


CHANGES = {
    "the function": ("pipe", "return finish(", "return -finish("),
    "a string in it": ("pipe", "} of {", "} for {"),
    "a number format": ("pipe", ".3f", ".4f"),
    "an annotation": ("pipe", "scaler: Scaler", "scaler: object"),
    "a default": ("pipe", "power=2", "power=3"),
    "a default that is an object": ("pipe", "Scaler(3)", "Scaler(4)"),
    "a closure": ("pipe", "make(4)", "make(5)"),
    "a constant": ("pipe", "THRESHOLD = 0.5", "THRESHOLD = 0.6"),
    "the type of a constant": ("pipe", "THRESHOLD = 0.5", "THRESHOLD = '0.5'"),
    "a set": ("pipe", '"fox"}', '"gnu"}'),
    "the condition": ("pipe", "len(data) >", "len(data) >="),
    "a constant of the condition": ("helpers", "LEAST = 3", "LEAST = 4"),
    "a decorated function": ("helpers", "else x", "else -x"),
    "the decorator": ("helpers", "return function(*args)", "return function(*args[::-1])"),
    "a cached function": ("helpers", "round(x,", "round(-x,"),
    "a context manager": ("helpers", "yield x + 1", "yield x + 2"),
    "a function two modules away": ("deep", "return 2", "return 3"),
    "a function that calls back": ("helpers", "n != 0 and", "n == 0 and"),
    "an instance": ("helpers", "Config(0.1)", "Config(0.2)"),
    "an option of a dataclass": ("helpers", "frozen=True", "frozen=False"),
    "a member of an enum": ("helpers", "FAST = 1", "FAST = 3"),
    "a base class": ("helpers", "x * self.factor", "x / self.factor"),
    "a class in an annotation": ("helpers", "self.factor = factor", "self.factor = -factor"),
    "a module imported in the function": ("later", "latest.finish(x)", "-latest.finish(x)"),
    "a module that this one imports": ("latest", "return x", "return -x"),
}


@pytest.mark.parametrize("edit", CHANGES.values(), ids=CHANGES)
def test_the_fingerprint_changes_with(edit: tuple[str, str, str], projects: Projects) -> None:
    before, after = projects.changed(), projects.changed(edit)
    assert before.fingerprint != after.fingerprint
    assert before.parts != after.parts


LAYOUT = {
    "comments": ("pipe", "# A comment.", "# Another one.\n"),
    "docstrings": ("pipe", '"""Train."""', '"""Train it.\n\n    Slowly.\n    """'),
    "missing docstrings": ("helpers", '"""Settings."""', ""),
    "blank lines": ("pipe", "LABELS =", "\n\n\nLABELS ="),
    "spaces": ("pipe", "power=2, *", "power = 2,\n        *"),
    "parentheses": (
        "helpers",
        "return n != 0 and is_even(n - 1)",
        "return (n != 0 and (is_even((n - 1))))",
    ),
    "quotes": ("pipe", '"cat"', "'cat'"),
    "spellings of numbers": ("pipe", "THRESHOLD = 0.5", "THRESHOLD = 5e-1"),
    "the order of a set": ("pipe", '"cat", "dog", "eel"', '"eel", "cat", "dog"'),
    "code that the step does not use": ("pipe", "return math.pi", "return -math.pi"),
    "the order of definitions": ("helpers", HELPERS[HELPERS.index("def is_odd") :], ""),
    "resources": ("pipe", "condition=", 'resources={"cpu": 4}, retry=2, condition='),
    "the name of the function": ("pipe", "def train(", "def learn("),
}


@pytest.mark.parametrize("edit", LAYOUT.values(), ids=LAYOUT)
def test_the_fingerprint_does_not_change_with(
    edit: tuple[str, str, str], projects: Projects
) -> None:
    edits = [edit]
    if edit[1].startswith("def is_odd"):
        edits.append(("helpers", "LEAST = 3", f"{edit[1]}\n\nLEAST = 3"))
    if edit[2] == "def learn(":
        edits.append(("pipe", "return train", "return learn"))
    assert projects.changed().fingerprint == projects.changed(*edits).fingerprint


def test_the_module_name_does_not_change_the_fingerprint(projects: Projects) -> None:
    files = {("pipeline" if name == "pipe" else name): text for name, text in FILES.items()}
    assert projects.read(files, "pipeline").fingerprint == projects.changed().fingerprint


@pytest.mark.contract
def test_a_script_has_the_fingerprint_of_its_module(projects: Projects) -> None:
    print_parts = "\nfrom flowyml_aws.caching.fingerprint import fingerprint, parts\n"
    print_parts += "print(fingerprint(train), *parts(train).items())\n"
    folder = projects.write({**FILES, "script": PIPELINE + print_parts})
    as_script = run_python(folder, "script.py")
    assert as_script == run_python(folder, "-m", "script")
    assert as_script == run_python(folder, "-c", "import script")
    assert as_script.split()[0] == projects.changed().fingerprint


@pytest.mark.contract
def test_a_fingerprint_is_the_same_in_every_process(projects: Projects) -> None:
    print_parts = (
        "from flowyml_aws.caching.fingerprint import *; import pipe; print(parts(pipe.train))"
    )
    folder = projects.write(FILES)
    outputs = {run_python(folder, "-c", print_parts, seed=seed) for seed in ("0", "1", "271828")}
    assert outputs == {f"{projects.changed().parts}\n"}


def test_a_fingerprint_is_the_same_in_every_minor_version_of_python(projects: Projects) -> None:
    # If the rules in caching/fingerprint.py change, raise their version and update this value.
    assert projects.changed().fingerprint == (
        "35f418fce52621f38b22c01641c6cc73e867ca88811c22e766e88ece05c2dadb"
    )


def test_parts_show_the_changed_code(projects: Projects) -> None:
    before = projects.changed()
    after = projects.changed(("deep", "return 2", "return 3"), ("pipe", "= 0.5", "= 0.6"))
    changed = {name for name in before.parts if before.parts[name] != after.parts[name]}
    assert changed == {"deep.digits", "pipe.THRESHOLD"}


def test_parts_have_the_names_of_functions_classes_constants_and_modules(
    projects: Projects,
) -> None:
    assert projects.changed().parts.keys() >= {
        "pipe.make.<locals>.train",
        "pipe.make.<locals>.<lambda>",
        "pipe.make.<locals>.train.factor",
        "pipe.THRESHOLD",
        "pipe.CONFIG",
        "helpers.Config",
        "helpers.Base",
        "helpers.clean",
        "helpers.logged.<locals>.wrapper",
        "deep.digits",
        "later",
        "latest",
    }


def test_an_opaque_object_is_identified_by_its_definition(projects: Projects) -> None:
    text = "from flowyml_aws import step\nimport threading\nN = 1\nGATE = threading.Semaphore(N)\n"
    text += "@step\ndef train():\n    return GATE\n"
    original = projects.read({"pipe": text})
    assert original == projects.read({"pipe": text})
    assert (
        original.fingerprint != projects.read({"pipe": text.replace("N = 1", "N = 2")}).fingerprint
    )


def test_the_state_of_an_opaque_object_does_not_change_the_fingerprint(projects: Projects) -> None:
    text = "from flowyml_aws import step\nimport queue\nLINE = queue.Queue(3)\n"
    text += "@step\ndef train():\n    return LINE\n"
    assert projects.read({"pipe": text}) == projects.read({"pipe": f"{text}LINE.put('used')\n"})
    assert projects.read({"pipe": text}) != projects.read({"pipe": text.replace("3", "4")})


@pytest.mark.contract
def test_relative_imports_inside_a_function_are_followed(projects: Projects) -> None:
    def read(helper: str) -> str:
        folder = projects.write({})
        (folder / "pack").mkdir()
        (folder / "pack/__init__.py").write_text("")
        (folder / "pack/helper.py").write_text(helper)
        (folder / "pack/pipe.py").write_text(
            "from flowyml_aws import step\n@step\ndef train():\n"
            "    from .helper import help\n    return help()\n"
        )
        return run_python(
            folder,
            "-c",
            "from flowyml_aws.caching.fingerprint import *; from pack.pipe import train; "
            "import sys; print(fingerprint(train)); assert 'pack.helper' not in sys.modules",
        )

    helper = "def help():\n    return 1\n"
    assert read(helper) == read("# more\n" + helper)
    assert read(helper) != read("def help():\n    return 2\n")


# The tests below use functions of this module.

FLAG = [1]
ITSELF: list[Any] = [1]
ITSELF.append(ITSELF)


def fingerprint_of(function: Callable[..., Any], **more: Any) -> str:
    return fingerprint(step(name="train", **more)(function))


def double(x: int) -> int:
    return x * 2


def adder(n: int) -> Callable[[int], int]:
    return lambda x: x + n


def closure_over(value: Any) -> Callable[[], Any]:
    return lambda: value


class Model:
    def __init__(self, depth: int) -> None:
        self.depth = depth

    def __call__(self, x: int) -> int:
        return self.fit(x)

    def fit(self, x: int) -> int:
        return x + self.depth


def test_arguments_of_the_decorator_do_not_change_the_fingerprint() -> None:
    assert fingerprint_of(double) == fingerprint_of(
        double,
        inputs=["x"],
        outputs=["y"],
        resources=ResourceRequirements(cpu="4"),
        retry=3,
        timeout=60,
        tags={"a": "b"},
        cache=False,
        execution_group="g",
    )


def test_the_condition_changes_the_fingerprint() -> None:
    assert fingerprint_of(double) != fingerprint_of(double, condition=double)
    assert fingerprint_of(double, condition=adder(1)) != fingerprint_of(double, condition=adder(2))


def test_function_and_condition_are_not_interchangeable() -> None:
    assert fingerprint_of(double, condition=adder(1)) != fingerprint_of(adder(1), condition=double)


def test_closures_differ_by_their_variables() -> None:
    assert fingerprint_of(adder(1)) == fingerprint_of(adder(1))
    assert fingerprint_of(adder(1)) != fingerprint_of(adder(2))


def test_lambdas_in_one_line_are_distinguished() -> None:
    both = [lambda x: x + 1, lambda x: x + 2]
    assert fingerprint_of(both[0]) != fingerprint_of(both[1])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (1, 2),
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        ("a", b"a"),
        ([1], (1,)),
        ({1}, frozenset({1})),
        ([1, 2], [2, 1]),
        ([[1], 2], [[1, 2]]),
        ({"a": 1}, {"a": 2}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (Path("a"), Path("b")),
        (Context(a=1), Context(a=2)),
        (Model(1), Model(2)),
        (Model(1).fit, Model(2).fit),
        (functools.partial(double, 1), functools.partial(double, 2)),
        (functools.partial(double, 1), functools.partial(Model, 1)),
        (len, max),
        (os.path, os),
        (dict, list),
        ([1].append, [2].append),
    ],
    ids=stable_repr,
)
def test_values_that_differ_have_different_fingerprints(first: Any, second: Any) -> None:
    assert fingerprint_of(closure_over(first)) == fingerprint_of(closure_over(first))
    assert fingerprint_of(closure_over(first)) != fingerprint_of(closure_over(second))


@pytest.mark.parametrize(
    "make",
    [
        lambda: float("nan"),
        lambda: {"b", "a", "c"},
        lambda: [{"x": {1, 2}}],
        lambda: Model(1),
        lambda: object(),
        lambda: ITSELF,
        lambda: {double, adder, Model},
        lambda: step(double),
        lambda: __import__("random").random,
        lambda: threading.Lock().acquire,
    ],
)
def test_equal_values_have_equal_fingerprints(make: Callable[[], Any]) -> None:
    first, second = make(), make()
    assert fingerprint_of(closure_over(first)) == fingerprint_of(closure_over(second))


def test_a_shadowed_global_does_not_change_the_fingerprint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def shadows(FLAG: int) -> list[int]:
        return [FLAG for _ in range(3)]

    before = fingerprint_of(shadows)
    monkeypatch.setitem(globals(), "FLAG", [2])
    assert fingerprint_of(shadows) == before


def test_a_global_that_is_read_changes_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    def reads() -> list[int]:
        return [n for n in FLAG]  # noqa: C416

    before = fingerprint_of(reads)
    monkeypatch.setitem(globals(), "FLAG", [2])
    assert fingerprint_of(reads) != before


def test_an_undefined_name_is_not_an_error() -> None:
    def broken() -> Any:
        return undefined_name.attribute  # type: ignore[name-defined]  # noqa: F821

    assert fingerprint_of(broken) == fingerprint_of(broken)


@pytest.mark.parametrize(
    "function",
    [double, Model(3), Model(3).fit, Model, functools.partial(double, 1), len, print, max],
    ids=stable_repr,
)
def test_every_callable_has_a_fingerprint(function: Any) -> None:
    assert len(fingerprint_of(function)) == 64
    assert all(len(digest) == 64 for digest in parts(step(name="train")(function)).values())


def test_a_deeply_nested_value_is_not_an_error() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert fingerprint_of(closure_over(deep)) == fingerprint_of(closure_over(deep))


def executed(text: str) -> Any:
    """Return the function `f` of code without source text."""
    names: dict[str, Any] = {"__name__": "typed"}
    exec(textwrap.dedent(text), names)
    return names["f"]


def test_code_without_source_is_identified_by_its_bytecode() -> None:
    text = "N = 1\ndef g(x):\n    return x in {'a', 'b'}\ndef f(x):\n    return g(x) + N\n"
    assert fingerprint_of(executed(text)) == fingerprint_of(executed("\n\n" + text))
    assert fingerprint_of(executed(text)) != fingerprint_of(executed(text.replace("+", "-")))
    assert fingerprint_of(executed(text)) != fingerprint_of(executed(text.replace("'a'", "'c'")))
    assert fingerprint_of(executed(text)) != fingerprint_of(
        executed(text.replace("N = 1", "N = 2"))
    )


@pytest.fixture
def cells() -> Iterator[Callable[[str], Any]]:
    """Returns a function that creates functions as a notebook does, without a source file."""
    filenames: list[str] = []

    def make(text: str) -> Any:
        name = f"<cell-{len(filenames)}>"
        filenames.append(name)
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        names: dict[str, Any] = {"__name__": "notebook"}
        exec(compile(text, name, "exec"), names)
        return names["f"]

    yield make
    for name in filenames:
        del linecache.cache[name]


def test_a_cell_of_a_notebook_can_be_run_again(cells: Callable[[str], Any]) -> None:
    text = "class C:\n    def g(self): return 1\ndef f(): return C().g()\n"
    assert fingerprint_of(cells(text)) == fingerprint_of(cells("# again\n\n" + text))
    assert fingerprint_of(cells(text)) != fingerprint_of(
        cells(text.replace("return 1", "return 2"))
    )


def test_a_shared_fingerprinter_gives_the_same_results() -> None:
    steps = [step(name="a")(double), step(name="b")(adder(1)), step(name="c")(adder(2))]
    shared = Fingerprinter()
    assert [shared.fingerprint(s) for s in steps] == [fingerprint(s) for s in steps]
    assert [shared.parts(s) for s in steps] == [parts(s) for s in steps]


def test_the_fingerprint_includes_a_step_that_is_called() -> None:
    @step(outputs=["x"], retry=1)
    def inner() -> int:
        return 1

    def outer() -> Any:
        return inner()

    before = fingerprint_of(outer)
    inner = step(outputs=["x"], retry=5)(inner.func)
    assert fingerprint_of(outer) == before
    inner = step(outputs=["x"])(double)
    assert fingerprint_of(outer) != before
