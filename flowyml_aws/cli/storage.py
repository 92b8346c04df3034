"""Commands that look after a store: the cache, and what nobody needs any more."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from flowyml_aws.artifacts.cache import CacheEntry, read_entry
from flowyml_aws.artifacts.layout import CACHE, cache_entry_key
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.cli.app import AsJson, app
from flowyml_aws.cli.facts import print_json
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.packaging.project import find_project
from flowyml_aws.services.connect import account_settings, stores
from flowyml_aws.submission.garbage import Garbage, collect

__all__ = ["gc", "list_entries", "remove_entries"]

_READERS = 32  # small objects: the time is latency, not bandwidth
_SHOWN = 12  # characters of a key
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

cache = typer.Typer(help="What earlier runs made, for later ones.", no_args_is_help=True)
app.add_typer(cache, name="cache")

Where = Annotated[
    str | None, typer.Option("--backend", "-b", help="local, batch or sagemaker; else all at hand.")
]


@app.command()
def gc(
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="Such as 30d, 12h or 4w: younger runs are kept.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
    backend: Where = None,
    as_json: AsJson = False,
) -> None:
    """Remove old runs and cache entries, and the values that nothing refers to then."""
    age_s = _seconds(older_than)

    def wait(seconds: float) -> None:
        print(f"waiting {seconds:g} s, so that runs that start now are seen", file=sys.stderr)
        time.sleep(seconds)

    found = {
        store.uri: collect(store, age_s, time.time, wait, dry_run) for store in _stores(backend)
    }
    if as_json:
        print_json({uri: _garbage_facts(garbage) for uri, garbage in found.items()})
        return
    for uri, garbage in found.items():
        _tell_garbage(uri, garbage, "would be removed" if dry_run else "removed")


@cache.command("ls")
def list_entries(
    pipeline: Annotated[str | None, typer.Argument(help="Of this pipeline only.")] = None,
    backend: Where = None,
    as_json: AsJson = False,
) -> None:
    """List what is remembered of steps, the newest first."""
    found = [
        (store, entry)
        for store in _stores(backend)
        for entry in _entries(store)
        if pipeline in (None, entry.pipeline)
    ]
    found.sort(key=lambda at: -at[1].created_at)
    if as_json:
        print_json(
            [{"store": store.uri, **entry.model_dump(mode="json")} for store, entry in found]
        )
        return
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for title in ("key", "pipeline", "step", "made by run", "size"):
        table.add_column(title, justify="right" if title == "size" else "left", no_wrap=True)
    for _, entry in found:
        size = decimal(sum(ref.size_bytes for ref in entry.assets.values()))
        table.add_row(entry.key[:_SHOWN], entry.pipeline, entry.step, entry.run_id, size)
    if found:
        Console(soft_wrap=True).print(table)
    else:
        print("nothing is cached")


@cache.command("rm")
def remove_entries(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="As `cache ls` shows them.")
    ] = None,
    pipeline: Annotated[str | None, typer.Option(help="All of a pipeline.")] = None,
    step: Annotated[str | None, typer.Option(help="All of steps with this name.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All there is.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    backend: Where = None,
) -> None:
    """Forget what steps made, so that they run again; the values go with the next `gc`."""
    if not (keys or pipeline or step or everything):
        raise SettingsError(
            what="Nothing to remove was named",
            why="`cache rm` takes keys, --pipeline, --step or --all",
            fix="see `flowyml-aws cache ls`",
        )
    there = {store: list(_entries(store)) for store in _stores(backend)}
    wanted = {
        store: [
            entry.key
            for entry in entries
            if everything
            or (pipeline is not None and entry.pipeline == pipeline and step in (None, entry.step))
            or (pipeline is None and entry.step == step)
        ]
        for store, entries in there.items()
    }
    for prefix in keys or ():
        store, key = _by_prefix(prefix, there)
        wanted[store].append(key)
    count = sum(map(len, wanted.values()))
    if count and not yes:
        typer.confirm(f"forget {count} of the cache's entries?", abort=True, err=True)
    for store, of in wanted.items():
        store.delete([cache_entry_key(key) for key in of])
    print(f"removed {count} {'entry' if count == 1 else 'entries'}")


def _stores(backend: str | None) -> Sequence[ArtifactStore]:
    project = find_project([]).root
    found = stores(account_settings(project), project)
    if backend is None:
        return tuple(dict.fromkeys(found.values()))  # services of one account share a store
    if backend not in found:
        raise SettingsError(
            what=f"There is no store of the backend {backend!r} at hand",
            why=f"there are {', '.join(found) or 'none'}",
            fix="start in the project's folder, and set FLOWYML_AWS_STORE for runs on AWS",
        )
    return (found[backend],)


def _entries(store: ArtifactStore) -> Iterator[CacheEntry]:
    keys = [entry.key.removeprefix(CACHE).removesuffix(".json") for entry in store.walk(CACHE)]
    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(lambda key: read_entry(store, key), keys)
        yield from (entry for entry in found if entry is not None)


def _by_prefix(
    prefix: str, there: Mapping[ArtifactStore, Sequence[CacheEntry]]
) -> tuple[ArtifactStore, str]:
    found = [
        (store, entry.key)
        for store, entries in there.items()
        for entry in entries
        if entry.key.startswith(prefix)
    ]
    if len(found) == 1:
        return found[0]
    raise SettingsError(
        what=f"The cache has {len(found) or 'no'} entries whose key begins with {prefix!r}",
        why="a key, or its first characters, must name one entry",
        fix="see `flowyml-aws cache ls`",
    )


def _seconds(age: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", age)
    if found is None:
        raise SettingsError(
            what=f"--older-than {age!r} is no age",
            why="it is a number with a unit: s, m, h, d or w",
            fix="write for example --older-than 30d",
        )
    return float(found[1]) * _UNITS_S[found[2]]


def _garbage_facts(garbage: Garbage) -> dict[str, Any]:
    facts = asdict(garbage)
    kinds = ("runs", "entries", "contents")
    sizes = {f"{kind}_bytes": sum(e["size_bytes"] for e in facts[kind]) for kind in kinds}
    keys = {kind: [entry["key"] for entry in facts[kind]] for kind in kinds}
    return {**facts, **keys, **sizes, "runs": garbage.run_ids}


def _tell_garbage(uri: str, garbage: Garbage, verb: str) -> None:
    print(f"{uri}: {verb}")
    for what, number, entries in (
        ("runs", len(garbage.run_ids), garbage.runs),
        ("cache entries and times", len(garbage.entries), garbage.entries),
        ("values, steps and bundles", len(garbage.contents), garbage.contents),
    ):
        print(f"  {number:>8,}  {what} ({decimal(sum(e.size_bytes for e in entries))})")
    if garbage.unfinished:
        print(f"  {garbage.unfinished:>8,}  writes that nobody finished")
    if garbage.unended:
        more = f" and {len(garbage.unended) - 3} more" if garbage.unended[3:] else ""
        print(
            f"  kept, because nobody has seen them end: {', '.join(garbage.unended[:3])}{more} "
            "(look with `flowyml-aws status RUN`, or cancel them)"
        )
