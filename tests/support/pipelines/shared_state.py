"""Groups that change everything in their process that a later fork could see."""

from __future__ import annotations

import atexit
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

from flowyml_aws import Pipeline, step

changes = {"of this module": 0}


@step(outputs=["before"], execution_group="before")
def look_before() -> dict[str, Any]:
    return facts()


@step(outputs=["own"], inputs=["before"], execution_group="change")
def change(before: dict[str, Any]) -> dict[str, Any]:
    changes["of this module"] = 1
    os.environ["LEFT_BY_A_GROUP"] = "1"
    os.chdir("/")
    os.umask(0o077)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    sys.path.append("/left/by/a/group")
    vars(sys.modules["__main__"])["left"] = True
    np.left = pd.left = True
    pd.set_option("display.max_rows", 7)
    np.seterr(all="ignore")
    np.random.seed(0)
    random.seed(0)
    Path(os.environ["TRACE"]).touch()
    left = open(os.environ["TRACE"])  # noqa: SIM115, PTH123
    atexit.register(left.close)
    threading.Thread(target=threading.Event().wait, daemon=True, name="left").start()
    return facts()


@step(outputs=["after"], inputs=["own"], execution_group="after")
def look_after(own: dict[str, Any]) -> dict[str, Any]:
    return facts()


def facts() -> dict[str, Any]:
    frame = pd.DataFrame({"key": ["a", "b", "a"], "value": [1.5, 2.5, 4.0]})
    matrix = np.arange(90000.0).reshape(300, 300)
    return {
        "changes": dict(changes),
        "environment": {n: v for n, v in os.environ.items() if not n.startswith("FLOWYML_")},
        "folder": str(Path.cwd()),
        "umask": _umask(),
        "signals": [_handler(number) for number in signal.valid_signals()],
        "input": sys.stdin.read(),
        "path": [entry for entry in sys.path[1:] if "/attempts/" not in entry],
        "__main__": sorted(vars(sys.modules["__main__"])),
        "of packages": [hasattr(np, "left"), hasattr(pd, "left")],
        "options": [pd.get_option("display.max_rows"), np.geterr()],
        "files": len([*Path("/proc/self/fd").iterdir()]),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "exit handlers": atexit._ncallbacks(),
        "BLAS": sorted((blas["filepath"], blas["num_threads"]) for blas in threadpool_info()),
        "values": [frame.groupby("key").sum().to_dict(), float((matrix @ matrix).sum())],
        "chances": _chances(),
        "in a fork": "flowyml_aws.warm.server" in sys.modules,
    }


def _chances() -> dict[str, float]:
    generators: dict[str, Callable[[], float]] = {"random": random.random, "numpy": np.random.rand}
    return {name: generator() for name, generator in generators.items()}


def _handler(number: int) -> str:
    handler = signal.getsignal(number)
    return getattr(handler, "__qualname__", str(handler))


def _umask() -> int:
    os.umask(mask := os.umask(0))
    return mask


pipeline = Pipeline("shared_state").add_steps([look_before, change, look_after])
