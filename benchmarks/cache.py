"""S3 requests and time of planning a pipeline with 1,000 cached groups.

S3 is moto in this process: the number of calls is the same as with AWS, without network latency.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from benchmarks._measuring import Target, arguments, cpu_seconds, interleaved, report
from benchmarks._results import row
from benchmarks._s3 import BUCKET, moto, s3_client
from flowyml_aws import Step, step
from flowyml_aws.artifacts.values import save_value
from flowyml_aws.aws.s3.store import S3ArtifactStore
from flowyml_aws.caching.cache_key import cache_key
from flowyml_aws.caching.entries import CacheEntry, write_entry
from flowyml_aws.client.preview import PlannedRun, plan_at
from flowyml_aws.client.request import PlanRequest
from flowyml_aws.core.graph import read_graph
from flowyml_aws.core.step_grouping import group_steps
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.placement import Placement
from flowyml_aws.services.local.service import LocalHost
from flowyml_aws.services.run_services import RunServices

GROUPS = 1_000
MORE_CALLS = 20
STEPS_IN_A_CHAIN = 10


def work(**assets: Any) -> int:
    return len(assets)


def steps(chained: int) -> list[Step]:
    """Return steps with a separate group each, in chains of this length."""
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


def request(steps: Sequence[Step], cache: bool) -> PlanRequest:
    graph, problems = read_graph(steps)
    assert graph is not None and not problems
    return PlanRequest(
        "cached",
        graph,
        group_steps(graph.steps),
        Placement("local"),
        forced=frozenset() if cache else frozenset(step.name for step in steps),
    )


def remember(store: S3ArtifactStore, planned_run: PlannedRun) -> None:
    """Store the artifacts and cache entries that a run of the plan would store."""
    for planned in planned_run.graph.steps:
        assets = planned_run.reuse.assets[planned.name]
        known = {asset: identity for asset, identity in assets.items() if identity is not None}
        assert len(known) == len(assets)
        key = cache_key(planned_run.reuse.identities[planned.name].digest, known)
        refs = {asset: save_value(store, asset, planned.name) for asset in planned.assets}
        entry = CacheEntry(
            key=key,
            pipeline="cached",
            step=planned.name,
            run_id="r",
            created_at=time.time(),
            assets=refs,
        )
        write_entry(store, entry)


def main() -> int:
    options = arguments(__doc__, repetitions=3)
    rows, targets, numbers, measured = [], [], {}, []
    with moto() as endpoint:
        client = s3_client(endpoint)
        calls: Counter[str] = Counter()
        client.meta.events.register(
            "before-call.s3", lambda model, **_: calls.update([str(model.name)])
        )
        client.create_bucket(Bucket=BUCKET)
        for shape, chained in (("independent", 1), ("chains of 10", STEPS_IN_A_CHAIN)):
            store = S3ArtifactStore(client, BUCKET, shape.replace(" ", "-"))
            # The backend does not matter: the planner sends the same requests to the store.
            place = RunServices(LocalHost(cast("DirectoryArtifactStore", store)), {})
            all_steps = steps(chained)
            remember(store, plan_at(place, request(all_steps, cache=True)))
            measures: dict[str, Callable[[], float]] = {
                name: partial(cpu_seconds, partial(plan_at, place, request(all_steps, cache=cache)))
                for name, cache in (("with", True), ("without", False))
            }
            times = interleaved(measures, options.repetitions)
            for name, cache in (("with", True), ("without", False)):
                calls.clear()
                plan = plan_at(place, request(all_steps, cache=cache)).plan
                facts = {
                    "jobs": len(plan.jobs),
                    "gets": calls["GetObject"],
                    "heads": calls["HeadObject"],
                    "other calls": calls.total() - calls["GetObject"] - calls["HeadObject"],
                    "seconds": times[name].min_s,
                    "ratio": times[name].min_s / times["without"].min_s,
                }
                numbers[f"{shape}, {name} cache"] = facts
                base = {"without the cache": times["without"].all_s} if cache else {}
                what = f"{GROUPS:,} groups, {shape}, {name} cache"
                measured += [
                    row(f"{what}: GETs", "calls", [facts["gets"]], {"groups": GROUPS}),
                    row(f"{what}: HEADs", "calls", [facts["heads"]], {"groups": GROUPS}),
                    row(f"{what}: other calls", "calls", [facts["other calls"]]),
                    row(f"{what}: time", "s", times[name].all_s, base),
                ]
                cells = (f"{v:.2f}" if isinstance(v, float) else f"{v:,}" for v in facts.values())
                rows.append((shape, f"{name} cache", *cells))
                if cache:
                    targets += [
                        Target(f"{shape}: calls", calls.total(), GROUPS + MORE_CALLS, "calls"),
                        Target(f"{shape}: jobs planned", facts["jobs"], 0, "jobs"),
                    ]
    columns = ("1,000 groups", "plan", "jobs", "GETs", "HEADs", "other", "s", "of without")
    notes = (
        f"processor time of planner and moto, the minimum of {options.repetitions} repetitions",
        "a listing or a HEAD checks that a result still exists; intermediate values are not",
    )
    return report(columns, rows, targets, notes, numbers, options.json, measured)


if __name__ == "__main__":
    sys.exit(main())
