# Written as users write programs, with what the linter refuses.
# ruff: noqa
# mypy: ignore-errors
"""A program with one object of each kind that a job must have as the user's process has it.

Each function in `CHECKS` is called in a step. It returns True if the job is the same program.
"""

from __future__ import annotations

import argparse
import contextvars
import datetime
import decimal
import enum
import functools
import logging
import os
import random
import sys
import threading
import types
import uuid
import warnings
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import NewType, TypeVar

import plugin  # noqa: F401  it registers a codec when it is imported
import registry
import settings

from flowyml_aws import Pipeline, step

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float, default=0.5)
ARGUMENTS = parser.parse_known_args()[0]
ROOT = Path(__file__).resolve().parent
TEXT = f"files in {ROOT}"
RUN = uuid.uuid4().hex
NOW = datetime.datetime.now(tz=datetime.timezone.utc)
SPLIT = random.sample(range(1000), 10)
LEVEL = int(os.environ.get("TEST_LEVEL", "1"))
RATE = 0.1
CONFIG = {"depth": 1}
ALIAS = CONFIG
HOLDER = {"id": RUN, "config": CONFIG}
MISSING = object()
LOCK = threading.Lock()
LOCAL = threading.local()
VARIABLE = contextvars.ContextVar("VARIABLE", default=3)
WEAK: weakref.WeakValueDictionary[str, threading.Thread] = weakref.WeakValueDictionary()
UserId = NewType("UserId", int)
T = TypeVar("T")
ORDER = sorted({"b", "a", "c"})
EVENTS = [hash("flowyml")]  # differs with each seed of string hashes

decimal.getcontext().prec = 5
random.seed(7)
logging.getLogger("kinds").setLevel(17)
warnings.simplefilter("ignore", FutureWarning)
sys.setrecursionlimit(4321)


class Color(enum.Enum):
    RED = 1
    GREEN = 2


class Base:
    known: list[str] = []

    def __init_subclass__(cls) -> None:
        Base.known.append(cls.__name__)


class Child(Base):
    rate = 1

    def method(self) -> str:
        return "of the file"

    @functools.cached_property
    def squared(self) -> int:
        return self.rate**2

    @functools.singledispatchmethod
    def kind(self, value: object) -> str:
        return "other"

    @kind.register
    def _(self, value: int) -> str:
        return "int"


@dataclass(frozen=True)
class Point:
    x: int


class AppError(Exception):
    pass


@functools.lru_cache
def square(x: int) -> int:
    return x * x


@functools.singledispatch
def kind(value: object) -> str:
    return "other"


@kind.register
def _(value: int) -> str:
    return "int"


def lookup(key: str, default: object = MISSING) -> str:
    return "absent" if default is MISSING else "present"


def counted() -> int:
    counted.calls += 1
    return counted.calls


counted.calls = 10
Made = type("Made", (list,), {"origin": "made"})
add_two = functools.partial(lambda a, b: a + b, 2)
module = types.SimpleNamespace(color=Color.RED)


def patched() -> str:
    return "of the file"


CHECKS = {
    "the arguments are those of the program": lambda: (
        ARGUMENTS.rate == 0.25 and sys.argv[1:] == ["--rate", "0.25"]
    ),
    "the first argument is the script's path": lambda: Path(sys.argv[0]).samefile(__file__),
    "the script's path is in the job's project": lambda: (ROOT / "registry.py").exists(),
    "a path in a string is in the job's project": lambda: TEXT == f"files in {ROOT}",
    "an identifier is one for the run": lambda: RUN == HOLDER["id"] == context_run,
    "a time is one for the run": lambda: NOW == context_now,
    "a random split is one for the run": lambda: SPLIT == context_split,
    "a value from the environment is the client's": lambda: LEVEL == 9,
    "a value that depends on string hashes is the client's": lambda: EVENTS == context_events,
    "a name bound under the guard has that value": lambda: RATE == 0.5,
    "a mapping changed under the guard is changed": lambda: CONFIG == {"depth": 2},
    "two names of one mapping stay one mapping": lambda: ALIAS is CONFIG,
    "a mapping in a carried mapping stays the same": lambda: HOLDER["config"] is CONFIG,
    "a name bound only under the guard exists": lambda: LATER == "later",
    "an attribute set on a module is set": lambda: settings.FACTOR == 5,
    "an attribute set on a class is set": lambda: Child.rate == 4,
    "a function of the file replaced under the guard is replaced": lambda: patched() == "replaced",
    "a method replaced under the guard is replaced": lambda: Child().method() == "replaced",
    "a function of a module replaced under the guard is replaced": (
        lambda: settings.scale(2) == "replaced"
    ),
    "an attribute of a function is kept": lambda: counted() == 11,
    "a sentinel keeps its identity": lambda: lookup("a") == "absent",
    "a lock works": lambda: LOCK.acquire(blocking=False) and LOCK.release() is None,
    "a thread local works": lambda: not hasattr(LOCAL, "x"),
    "a context variable has its default": lambda: VARIABLE.get() == 3,
    "a weak mapping works": lambda: WEAK.get("x") is None,
    "a new type works": lambda: UserId(3) == 3,
    "an enum member keeps its identity": lambda: Color(1) is Color.RED is module.color,
    "subclasses are known": lambda: (
        Base.known == ["Child"] and [c.__name__ for c in Base.__subclasses__()] == ["Child"]
    ),
    "a cached function works": lambda: square(3) == 9 and square.cache_info().misses == 1,
    "a cached property works": lambda: Child().squared == 16,
    "single dispatch works": lambda: kind(1) == "int" and kind("a") == "other",
    "single dispatch of a method works": lambda: Child().kind(1) == "int",
    "a class made by a call is that class": lambda: Made([1]).origin == "made" and Made is Made,
    "a partial of a lambda works": lambda: add_two(3) == 5,
    "an exception is caught by its class": lambda: _raised() == "caught",
    "plug-ins of imports are registered": lambda: registry.CODECS == {"plugin"},
    "the decimal context is set": lambda: str(decimal.Decimal(1) / 3) == "0.33333",
    "the random generator is seeded": lambda: (
        random.random() == random.Random(7).random()  # noqa: S311
    ),
    "logging is configured": lambda: logging.getLogger("kinds").level == 17,
    "warning filters are set": lambda: any(f[2] is FutureWarning for f in warnings.filters),
    "the recursion limit is set": lambda: sys.getrecursionlimit() == 4321,
    "globals() has all names": lambda: globals()["RATE"] == 0.5 and eval("CONFIG") is CONFIG,
}


def _raised() -> str:
    try:
        raise AppError
    except AppError:
        return "caught"


@step(outputs=["seen"], execution_group="one")
def look(run: str, now: datetime.datetime, split: list[int], events: list[int]) -> dict[str, str]:
    globals().update(context_run=run, context_now=now, context_split=split, context_events=events)
    seen = {}
    for name, check in CHECKS.items():
        try:
            seen[name] = "right" if check() else "wrong"
        except Exception as error:  # reported as the check's outcome
            seen[name] = f"{type(error).__name__}: {error}"
    return seen


@step(outputs=["objects"])
def make() -> list[object]:
    return [Color.GREEN, Point(1), AppError("a")]


@step(inputs=["objects"], outputs=["kept"])
def read(objects: list[object]) -> list[bool]:
    color, point, error = objects
    return [color is Color.GREEN, isinstance(point, Point), isinstance(error, AppError)]


pipeline = Pipeline("kinds").add_steps([look, make, read])

if __name__ == "__main__":
    import json

    RATE = 0.5
    CONFIG["depth"] = 2
    LATER = "later"
    settings.FACTOR = 5
    settings.scale = lambda x: "replaced"
    Child.rate = 4
    Child.method = lambda self: "replaced"
    patched = lambda: "replaced"  # noqa: E731

    result = pipeline.run(
        backend=os.environ["TEST_BACKEND"],
        context={"run": RUN, "now": NOW, "split": SPLIT, "events": EVENTS},
        progress=False,
        cache=False,
    )
    if not result.success:
        sys.exit(result.summary())
    objects = result["objects"]
    print(
        json.dumps(
            {
                **result["seen"],
                "objects keep their classes in another job": result["kept"] == [True] * 3,
                "objects keep their classes on the client": objects[0] is Color.GREEN
                and isinstance(objects[1], Point)
                and isinstance(objects[2], AppError),
            }
        )
    )
