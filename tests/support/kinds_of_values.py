# Written as users write programs, with what the linter refuses.
# ruff: noqa
# mypy: ignore-errors
"""One value of each kind whose state must be equal in each process that loads this module."""

from __future__ import annotations

import abc
import array
import collections
import contextvars
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import itertools
import logging
import operator
import os
import random
import re
import sqlite3
import threading
import types
import typing
import uuid
import weakref
import zoneinfo
from pathlib import Path, PurePosixPath

import attrs
import numpy
import pandas
import pydantic

ROOT = Path(__file__).resolve().parent


def plain_function(x=1, *, y={"a", "b"}):
    """Return a value."""
    return [x, y, {"c", "d"}, lambda: x]


def closure(n):
    def inner(m=n):
        return n + m

    return inner


def recursive_closure():
    def again(n):
        return again(n - 1) if n else 0

    return again


def mutual_closures():
    def even(n):
        return n == 0 or odd(n - 1)

    def odd(n):
        return n != 0 and even(n - 1)

    return even, odd


def wrapping(function):
    @functools.wraps(function)
    def inner(*arguments):
        return function(*arguments)

    return inner


class Color(enum.Enum):
    RED = 1
    BLUE = [2]


class Flags(enum.Flag):
    A = enum.auto()
    B = enum.auto()


class Meta(type):
    tag = "meta"


class Base(abc.ABC):
    @abc.abstractmethod
    def work(self): ...


class Child(Base, metaclass=type("ChildMeta", (abc.ABCMeta, Meta), {})):
    rates = {"a", "b"}

    def __init__(self, x):
        self.x = x

    def work(self):
        return super().work()

    def __eq__(self, other):
        return self.x == other.x

    def __hash__(self):
        return hash(self.x)


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a):
        self.a = a


@dataclasses.dataclass
class Point:
    x: int = 1
    tags: list[str] = dataclasses.field(default_factory=lambda: ["a"])

    def __post_init__(self):
        self.y = {"q", "r", "s"}


class Pair(typing.NamedTuple):
    a: int
    b: str = "b"


class Model(pydantic.BaseModel):
    name: str = "a"
    tags: set[str] = {"x", "y"}

    @pydantic.field_validator("name")
    @classmethod
    def check(cls, value):
        return value


@attrs.define
class Attrs:
    a: int = 1
    b: list[int] = attrs.field(factory=list)


class Words(dict):
    pass


class Client:
    def __init__(self, rate):
        self.rate, self.lock = rate, threading.Lock()


class Methods:
    @staticmethod
    def static(x={"a", "b"}):
        return x

    @classmethod
    def of_class(cls):
        return cls

    @property
    def value(self):
        return 1

    @value.setter
    def value(self, new):
        pass

    @functools.cached_property
    def cached(self):
        return {"a", "b"}

    @functools.lru_cache
    def remembered(self):
        return 1

    @functools.singledispatchmethod
    def kind(self, x):
        return "other"

    part = functools.partialmethod(closure(1), 2)


@functools.singledispatch
def dispatching(x):
    return "other"


@dispatching.register(collections.abc.Mapping)
def _(x):
    return "mapping"


attributed = wrapping(plain_function)
attributed.calls = {"a": 1}
generator = numpy.random.default_rng(3)
generator.random(5)
seeded = random.Random(3)
seeded.random()
looped: list[object] = [1]
looped.append(looped)

COMPARABLE = {
    "numbers": (1, -0.0, 1j, 10**40, True, None, ...),
    "text": ["a", b"b", bytearray(b"c"), "\ud800"],
    "sets": [{"a", "b", "c"}, frozenset({("a", 1), ("b", 2)}), {frozenset({"a", "b"})}],
    "a set of objects": {Child("a"), Child("b"), Child("c")},
    "a set of code": {Child, Slotted, plain_function, wrapping},
    "mappings": {"a": {1}, frozenset({"x", "y"}): types.MappingProxyType({"a": 1})},
    "collections": [
        collections.deque([1, {"a", "b"}], maxlen=3),
        collections.OrderedDict(a=1),
        collections.defaultdict(set, a={"x", "y"}),
        collections.Counter("aab"),
        collections.ChainMap({"a": 1}),
    ],
    "a value that contains itself": looped,
    "a path in the project": ROOT / "data",
    "a string with a path in the project": f"files in {ROOT}, and in {ROOT}/data",
    "a set of paths": {ROOT / "a", ROOT, Path("/data/b"), Path("/zzz/a/long/path/elsewhere")},
    "a set of strings with paths": {f"{ROOT}/a", "b" * 9, "b" * 20, "b" * 40, "b" * 80},
    "a mapping with paths as keys": {ROOT / "a": 1, str(ROOT): 2},
    "a path in an object": types.SimpleNamespace(path=ROOT / "a", pure=PurePosixPath(ROOT)),
    "a path in a function's default": lambda path=ROOT: path,
    "enum members": [Color.RED, Flags.A | Flags.B],
    "an enum": Color,
    "a flag": Flags,
    "objects": [Child(1), Slotted(2), Point(), Pair(1), Words(a=1), AttributeError("a")],
    "an attrs object": Attrs(2),
    "a model": Model(name="b"),
    "a class": Child,
    "a dataclass": Point,
    "a model class": Model,
    "a named tuple": Pair,
    "an attrs class": Attrs,
    "a class with slots": Slotted,
    "a class made by a call": type("Made", (list,), {"origin": {"a", "b"}}),
    "functions": [plain_function, wrapping(closure(1)), closure, lambda: {"a", "b"}],
    "a closure": closure({"a", "b"}),
    "a recursive closure": recursive_closure(),
    "mutually recursive closures": mutual_closures(),
    "a decorated function": wrapping(plain_function),
    "a function with attributes": attributed,
    "a cached function": functools.lru_cache(maxsize=3)(closure(1)),
    "a dispatching function": dispatching,
    "partials": [functools.partial(plain_function, {"a", "b"}), functools.partial(max, 3)],
    "methods": [Child(1).work, [].append, "a".join, Pair._make, Methods.of_class],
    "functions of packages": [os.path.join, max, numpy.mean, operator.itemgetter("a"), re.compile],
    "iterators": [itertools.count(5), iter([1, 2]), range(3), enumerate("ab")],
    "types": [int, list[int], dict[str, Child], Child | None, typing.Optional[int], numpy.float32],
    "a type variable": typing.TypeVar("T"),
    "a new type": typing.NewType("UserId", int),
    "modules": [os, numpy, abc],
    "exact numbers": [decimal.Decimal("1.10"), fractions.Fraction(1, 3)],
    "patterns": re.compile("a+", re.I),
    "arrays": [array.array("i", [1]), numpy.arange(3.0), numpy.zeros((2, 2), order="F")],
    "an array of objects": numpy.array([{"a", "b"}, None], dtype=object),
    "data types": [numpy.dtype("f4"), numpy.dtype([("a", "i4")])],
    "random generators": [generator, seeded, numpy.random.RandomState(3)],
    "frames": [
        pandas.DataFrame({"a": [1, 2], "b": ["x", None]}),
        pandas.Series([1.0], index=["a"], name="s"),
        pandas.date_range("2024-01-01", periods=2),
    ],
    "a time zone": zoneinfo.ZoneInfo("Europe/Berlin"),
    "loggers and variables": [logging.getLogger("values"), os.environ],
    "durations": datetime.timedelta(1),
    "a sentinel": object(),
}
MOMENTS = {
    "a date": datetime.date(2024, 1, 1),
    "a time": datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc),
    "an identifier": uuid.UUID(int=3),
    "a time in a list": [{"at": datetime.time(1)}],
    "a time in an object": Point(datetime.date(2024, 1, 1)),
    "a time in a closure": closure(datetime.date(2024, 1, 1)),
}
INCOMPARABLE = {
    "a lock": threading.Lock(),
    "a lock in a list": [1, threading.RLock()],
    "a lock in an object": Client(3),
    "a lock in a closure": closure(threading.Lock()),
    "an event": threading.Event(),
    "a thread local": threading.local(),
    "a context variable": contextvars.ContextVar("VARIABLE"),
    "weak mappings": [weakref.WeakKeyDictionary({Color: 1}), weakref.WeakValueDictionary()],
    "a weak set": weakref.WeakSet([Child]),
    "a reference": weakref.ref(Child),
    "a connection": sqlite3.connect(":memory:"),
    "an open file": open(os.devnull),
    "a generator": (n for n in range(3)),
    "a nested value": functools.reduce(lambda inner, _: [inner], range(5000), []),
}
KINDS = {"comparable": COMPARABLE, "moments": MOMENTS, "incomparable": INCOMPARABLE}
VALUES = {f"{kind}: {name}": value for kind in KINDS for name, value in KINDS[kind].items()}
globals().update(VALUES)
