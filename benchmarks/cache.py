"""What planning asks of S3 where 1,000 groups are cached, and what it takes.

S3 is moto in this process: the number of calls is that of the real one, the network is not in it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from benchmarks._measuring import Target, arguments, cpu_seconds, interleaved, tell
from benchmarks._s3 import BUCKET, moto, s3_client
from flowyml_aws import Step, step
from flowyml_aws.artifacts.cache import CacheEntry, write_entry
from flowyml_aws.artifacts.values import save_value
from flowyml_aws.aws.s3 import S3ArtifactStore
from flowyml_aws.core.cache_key import cache_key
from flowyml_aws.core.graph import read_graph
from flowyml_aws.core.step_grouping import group_steps
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.places import LocalPlace
from flowyml_aws.planning.placement import Placement
from flowyml_aws.preview import Decision, plan_at
from flowyml_aws.request import RunRequest

GROUPS = 1_000
STEPS_IN_A_CHAIN = 10


def work(**assets: Any) -> int:
    return len(assets)


def steps(chained: int) -> list[Step]:
    """A group of one step each, in chains of a length."""
    return [
        step(
            name=f"step_{number}",
            inputs=[f"asset_{number - 1}"] if number % chained else [],
            outputs=[f"asset_{number}"],
            execution_group=f"group_{number}",
            cache="code_hash",
        )(work)
        for number in range(GROUPS)
    ]


def request(made: Sequence[Step], cache: bool) -> RunRequest:
    graph, problems = read_graph(made)
    assert graph is not None and not problems
    return RunRequest("cached", graph, group_steps(graph.steps), Placement("local"), cache=cache)


def remember(store: S3ArtifactStore, decision: Decision) -> None:
    """Leave in the store what a run of the plan would leave."""
    for planned in decision.graph.steps:
        assets = decision.reuse.assets[planned.name]
        known = {asset: identity for asset, identity in assets.items() if identity is not None}
        assert len(known) == len(assets)
        key = cache_key(decision.reuse.identities[planned.name].digest, known)
        refs = {asset: save_value(store, asset, planned.name) for asset in planned.assets}
        entry = CacheEntry(
            key=key, pipeline="cached", step=planned.name, run_id="r", created_at=0, assets=refs
        )
        write_entry(store, entry)


def main() -> int:
    options = arguments(__doc__, repetitions=3)
    rows, targets, numbers = [], [], {}
    with moto() as endpoint:
        client = s3_client(endpoint)
        calls: Counter[str] = Counter()
        client.meta.events.register(
            "before-call.s3", lambda model, **_: calls.update([str(model.name)])
        )
        client.create_bucket(Bucket=BUCKET)
        for shape, chained in (("independent", 1), ("chains of 10", STEPS_IN_A_CHAIN)):
            store = S3ArtifactStore(client, BUCKET, shape.replace(" ", "-"))
            # The backend does not matter here: what a plan asks of the store is the same.
            place = LocalPlace(cast("DirectoryArtifactStore", store))
            made = steps(chained)
            remember(store, plan_at(place, request(made, cache=True)))
            measures: dict[str, Callable[[], float]] = {
                name: partial(cpu_seconds, partial(plan_at, place, request(made, cache=cache)))
                for name, cache in (("with", True), ("without", False))
            }
            times = interleaved(measures, options.repetitions)
            for name, cache in (("with", True), ("without", False)):
                calls.clear()
                plan = plan_at(place, request(made, cache=cache)).plan
                told = {
                    "jobs": len(plan.jobs),
                    "gets": calls["GetObject"],
                    "heads": calls["HeadObject"],
                    "other calls": calls.total() - calls["GetObject"] - calls["HeadObject"],
                    "seconds": times[name].least_s,
                    "ratio": times[name].least_s / times["without"].least_s,
                }
                numbers[f"{shape}, {name} cache"] = told
                shown = (f"{v:.2f}" if isinstance(v, float) else f"{v:,}" for v in told.values())
                rows.append((shape, f"{name} cache", *shown))
                if cache:
                    targets += [
                        Target(f"{shape}: documents read", told["gets"], GROUPS, "GETs"),
                        Target(f"{shape}: jobs planned", told["jobs"], 0, "jobs"),
                    ]
    columns = ("1,000 groups", "plan", "jobs", "GETs", "HEADs", "other", "s", "of without")
    notes = (
        f"processor time of the plan and of moto, the least of {options.repetitions} repetitions",
        "a HEAD asks whether a result still lies there; nothing is asked of what lies between",
    )
    return tell(columns, rows, targets, notes, numbers, options.json)


if __name__ == "__main__":
    sys.exit(main())
