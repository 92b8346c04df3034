"""A step that returns facts about its process and environment."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from flowyml_aws import Pipeline, step

WARM = ("flowyml_aws.testing", "flowyml_aws.warm")


def double(number: int) -> int:
    return 2 * number


@step(outputs=["found"])
def look() -> dict[str, Any]:
    main = sys.modules["__main__"]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        doubled = pool.map(double, [21])
    return {
        "arguments": [Path(sys.argv[0]).name, *(len(one) for one in sys.argv[1:])],
        "folder is first on sys.path": Path(sys.path[0]).samefile(Path.cwd()),
        "rest of sys.path": sys.path[1:],
        "__main__": sorted(vars(main)),
        "__main__ is": [main.__name__, str(main.__spec__ and main.__spec__.name)],
        "environment": sorted(os.environ),
        "leads a session": os.getsid(0) == os.getpid(),
        "standard input": sys.stdin.read(),
        "encodings": [sys.stdout.encoding, sys.getfilesystemencoding()],
        "children": str(signal.getsignal(signal.SIGCHLD)),
        "file descriptors": len([*Path("/proc/self/fd").iterdir()]),
        "main thread": threading.current_thread() is threading.main_thread(),
        "by a spawned pool": doubled,
        "modules": sorted(name for name in sys.modules if name.startswith(WARM)),
    }


@step(outputs=["chance"], inputs=["found"], execution_group="a")
def draw(found: dict[str, Any]) -> float:
    return random.random()


@step(outputs=["other_chance"], inputs=["found"], execution_group="b")
def draw_again(found: dict[str, Any]) -> float:
    return random.random()


pipeline = Pipeline("probe").add_steps([look, draw, draw_again])
