from __future__ import annotations

import asyncio
import os
import sys

from flowyml_aws import Pipeline, step


def forked() -> bool:
    """Fork, and return whether this is the child; the parent waits for it."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    return pid == 0


@step(outputs=["exited"])
def child_exits(trace: str) -> str:
    if forked():
        sys.exit(0)
    return "parent"


@step(outputs=["raised"], execution_group="g")
async def child_raises() -> str:
    await asyncio.sleep(0)
    if forked():
        raise RuntimeError("only in the child")
    return "parent"


@step(outputs=["returned"], inputs=["raised"], execution_group="g")
async def child_returns(raised: str) -> str:
    await asyncio.sleep(0)
    return "child" if forked() else "parent"


pipeline = Pipeline("forks").add_steps([child_exits, child_raises, child_returns])
