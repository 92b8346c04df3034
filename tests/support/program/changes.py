# Written as users write programs, with what the linter refuses.
# ruff: noqa
# mypy: ignore-errors
"""A program that changes its objects below its guard, and reads them in two jobs."""

from __future__ import annotations

import abc
import dataclasses
import datetime
import decimal
import functools
import itertools
import json
import os
import random
import threading
import types
from pathlib import Path

import library
import library as alias
from library import SHARED, Settings, scaled

from flowyml_aws import Pipeline, step


class Model:
    path, exact, day, part_of = Path("a"), decimal.Decimal(1), datetime.date(2020, 1, 1), None

    @staticmethod
    def static():
        return "of the file"

    @classmethod
    def of_class(cls):
        return "of the file"

    @property
    def value(self):
        return "of the file"

    @functools.cached_property
    def cached(self):
        return PREFIX + "of the file"

    partial = functools.partialmethod(lambda self, x: x, 1)


class Abstract(abc.ABC):
    @abc.abstractmethod
    def run(self): ...


class Concrete(Abstract):
    def run(self):
        return "of the file"


class Meta(type):
    tag = "of the file"


class Tagged(metaclass=Meta):
    pass


@dataclasses.dataclass
class Data:
    a: int = 1
    b: list[int] = dataclasses.field(default_factory=lambda: [1])

    def total(self):
        return "of the file"


class Key:
    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return self.x == other.x

    def __hash__(self):
        return hash(self.x)


PREFIX = ""
NUMBERS = [1]
SAME = NUMBERS
ROWS = {"rows": NUMBERS}
DATA = Data()
KEYS = {Key(1): "a"}
COUNT, ITERATOR = itertools.count(5), iter([1, 2, 3])
RANDOM = random.Random(3)
SPACE = types.SimpleNamespace(a=1)
FUNCTIONS = {"f": lambda: "of the file"}
PARTIAL = functools.partial(scaled, 2)
HANDLERS = []


def handler(function):
    HANDLERS.append(function)
    return function


@handler
def handle():
    return "of the file"


def plain():
    return "of the file"


def calls_plain():
    return plain()


def default(x=NUMBERS):
    return x


@functools.lru_cache
def cached(x=1):
    return x


def counting(function):
    count = 0

    @functools.wraps(function)
    def inner():
        nonlocal count
        count += 1
        return count

    return inner


@handler
@counting
def counted(): ...


def counter():
    count = 0

    def increase():
        nonlocal count
        count += 1
        return count

    def read():
        return count

    return increase, read


increase, read_count = counter()
DELETED = 1


class Pickled:
    """Makes its lock and its connection again."""

    def __init__(self):
        self.rate, self.lock, self.connection = 1, threading.Lock(), None

    def __getstate__(self):
        return {"rate": self.rate}

    def __setstate__(self, state):
        self.__init__()
        self.rate = state["rate"]


PICKLED = Pickled()


def deleted():
    try:
        return DELETED
    except NameError:
        return None


READS = {
    "class attributes": lambda: [
        str(Model.path),
        str(Model.exact),
        str(Model.day),
        Model.part_of.x,
        Model.new,
    ],
    "methods": lambda: [Model.static(), Model.of_class(), Model().value, Model().partial()],
    "a global that a cached property reads": lambda: Model().cached,
    "methods of other classes": lambda: [Concrete().run(), Data().total(), Tagged.tag],
    "objects": lambda: [DATA.a, DATA.b, SPACE.a, [(key.x, KEYS[key]) for key in KEYS]],
    "iterators": lambda: [next(COUNT), list(ITERATOR), RANDOM.random()],
    "functions": lambda: [calls_plain(), plain.calls, FUNCTIONS["f"](), PARTIAL(), cached()],
    "handlers": lambda: [len(HANDLERS), HANDLERS[0] is handle, [f() for f in HANDLERS]],
    "a closure with two names": lambda: [counted(), HANDLERS[1](), HANDLERS[1] is counted],
    "a variable of two closures": lambda: [increase(), read_count(), increase(), read_count()],
    "deleted names": lambda: [deleted(), getattr(library, "GONE", None)],
    "deleted attributes": lambda: [library.Child.rate, library.Child().kind()],
    "an object that makes its lock again": lambda: [PICKLED.rate, PICKLED.lock.locked()],
    "two names of one object": lambda: [
        NUMBERS,
        NUMBERS is SAME is ROWS["rows"] is default(),
        SHARED is library.SHARED,
        SHARED,
    ],
    "a module": lambda: [
        library.FACTOR,
        alias.FACTOR,
        library.scaled(2),
        library.cached(1),
        library.kind(1),
        library.decorated(),
        library.default(),
        library.default.calls,
        library.LATER,
        sorted(library.REGISTRY),
    ],
    "a class of a module": lambda: [
        Settings.rate,
        library.Settings().method(),
        Settings is library.Settings,
        Settings.nested,
    ],
    "containers of a module": lambda: [
        library.SLOTTED.size,
        [*library.WORDS],
        type(library.WORDS) is library.Words,
        {**library.DEFAULTS},
        [list(library.QUEUE), library.QUEUE.maxlen],
    ],
    "a class defined below the guard": lambda: [Late().x, type(LATE) is Late],
}


def read():
    return {name: reader() for name, reader in READS.items()}


@step(outputs=["first"])
def first():
    return read()


@step(inputs=["first"], outputs=["second"])
def second(first):
    return read()


if __name__ == "__main__":
    Model.path, Model.exact, Model.day = Path("b"), decimal.Decimal(2), datetime.date(2021, 1, 1)
    Model.part_of, Model.new = Key(3), 5
    Model.static = staticmethod(lambda: "changed")
    Model.of_class = classmethod(lambda cls: "changed")
    Model.value = property(lambda self: "changed")
    Model.partial = functools.partialmethod(lambda self, x: x, 2)
    PREFIX = "changed "
    Concrete.run = Data.total = lambda self: "changed"
    Meta.tag = "changed"
    DATA.a, SPACE.a = 3, 2
    DATA.b.append(9)
    KEYS[Key(1)] = "z"
    next(COUNT), next(ITERATOR), RANDOM.random()
    plain = lambda: "changed"  # noqa: E731
    plain.calls = 4
    FUNCTIONS["f"] = lambda: "changed"
    cached = functools.lru_cache(lambda x=2: x)
    counted(), increase()
    del DELETED, library.GONE, library.Child.rate, library.Child.kind
    PICKLED.rate, PICKLED.connection = 2, threading.Lock()
    HANDLERS.append(lambda: "changed")
    NUMBERS.append(2)
    SHARED.append(2)
    alias.FACTOR, library.LATER = 3, "later"
    library.REGISTRY["k"] = Settings
    library.kind.register(int, lambda x: "changed")
    library.decorated = library.wrapping(lambda: "changed")
    library.default.__defaults__, library.default.calls = (4,), 1
    Settings.rate, Settings.method = 2, lambda self: "changed"
    Settings.nested["a"].append(2)
    library.SLOTTED.size = 2
    library.WORDS["b"] = library.DEFAULTS["k"] = 1
    library.QUEUE.append(2)

    class Late:
        x = 7

    LATE = Late()
    pipeline = Pipeline("changes").add_steps([first, second])
    result = pipeline.run(backend=os.environ["TEST_BACKEND"], progress=False, cache=False)
    if not result.success:
        raise SystemExit(result.summary())
    print(json.dumps({"client": read(), **result.outputs}))
