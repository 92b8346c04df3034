"""Commands that clean up stores: cache entries, and garbage collection."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.filesize import decimal
from rich.table import Table

from flowyml_aws.artifacts.layout import CACHE, cache_entry_key
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.caching.entries import CacheEntry, read_entry
from flowyml_aws.cli.ages import age_s
from flowyml_aws.cli.app import AsJson, app
from flowyml_aws.cli.confirm import confirm
from flowyml_aws.cli.facts import print_json
from flowyml_aws.core import clock
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.packaging.project import find_project
from flowyml_aws.services.connect import account_settings, stores
from flowyml_aws.submission.garbage import Garbage, collect
from flowyml_aws.view.terminal import Terminal

__all__ = ["delete_entries", "gc", "list_entries"]

_KEY_LENGTH = 12  # characters of a key that are shown

cache = typer.Typer(help="Cached step outputs.", no_args_is_help=True)
app.add_typer(cache, name="cache")

StoreBackend = Annotated[
    str | None,
    typer.Option(
        "--backend", "-b", help="Only the store of local, batch or sagemaker; default: all."
    ),
]


@app.command()
def gc(
    older_than: Annotated[
        str,
        typer.Option(metavar="AGE", help="Minimum age of what is deleted, such as 30d, 12h or 4w."),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted.")] = False,
    backend: StoreBackend = None,
    as_json: AsJson = False,
) -> None:
    """Delete old runs and cache entries, and values that nothing refers to any more."""
    oldest_s = age_s(older_than, "--older-than")

    def wait(seconds: float) -> None:
        print(f"waiting {seconds:g} s to see the runs that are starting now", file=sys.stderr)
        clock.sleep(seconds)

    collected = {
        store.uri: collect(store, oldest_s, time.time, wait, dry_run) for store in _stores(backend)
    }
    if as_json:
        print_json({uri: _garbage_facts(garbage) for uri, garbage in collected.items()})
        return
    for uri, garbage in collected.items():
        _print_garbage(uri, garbage, "would be deleted" if dry_run else "deleted")


@cache.command("ls")
def list_entries(
    pipeline: Annotated[str | None, typer.Argument(help="Only entries of this pipeline.")] = None,
    backend: StoreBackend = None,
    as_json: AsJson = False,
) -> None:
    """List cache entries, newest first."""
    rows = [
        (store, entry)
        for store in _stores(backend)
        for entry in _entries(store)
        if pipeline in (None, entry.pipeline)
    ]
    rows.sort(key=lambda row: -row[1].created_at)
    if as_json:
        print_json([{"store": store.uri, **entry.model_dump(mode="json")} for store, entry in rows])
        return
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for title in ("key", "pipeline", "step", "created by run", "size"):
        table.add_column(title, justify="right" if title == "size" else "left", no_wrap=True)
    for _, entry in rows:
        size = decimal(sum(ref.size_bytes for ref in entry.assets.values()))
        table.add_row(entry.key[:_KEY_LENGTH], entry.pipeline, entry.step, entry.run_id, size)
    if rows:
        Terminal(soft_wrap=True).print(table)
    else:
        print("nothing is cached")


@cache.command("rm")
def delete_entries(
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY]...", help="Keys, or their first characters."),
    ] = None,
    pipeline: Annotated[
        str | None, typer.Option(help="Delete all entries of this pipeline.")
    ] = None,
    step: Annotated[
        str | None, typer.Option(help="Delete all entries of steps with this name.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Delete all entries.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    backend: StoreBackend = None,
) -> None:
    """Delete cache entries: their steps are executed again. `gc` deletes their values."""
    if not (keys or pipeline or step or everything):
        raise SettingsError(
            what="No cache entries selected",
            why="`cache rm` needs keys, --pipeline, --step or --all",
            fix="list the keys with `flowyml-aws cache ls`",
        )
    cached = {store: _entries(store) for store in _stores(backend)}
    selected = {
        store: [
            entry.key
            for entry in entries
            if everything
            or (pipeline is not None and entry.pipeline == pipeline and step in (None, entry.step))
            or (pipeline is None and entry.step == step)
        ]
        for store, entries in cached.items()
    }
    for prefix in keys or ():
        store, key = _by_prefix(prefix, cached)
        selected[store].append(key)
    count = sum(map(len, selected.values()))
    counted = f"{count} cache {'entry' if count == 1 else 'entries'}"
    if count and not yes:
        confirm(f"delete {counted}?")
    for store, entry_keys in selected.items():
        store.delete([cache_entry_key(key) for key in entry_keys])
    print(f"deleted {counted}")


def _stores(backend: str | None) -> Sequence[ArtifactStore]:
    project = find_project([]).root
    by_backend = stores(account_settings(project), project)
    if backend is None:
        return tuple(dict.fromkeys(by_backend.values()))  # services of one account share a store
    if backend not in by_backend:
        raise SettingsError(
            what=f"No store for the backend {backend!r}",
            why=f"the backends with a store are {', '.join(by_backend) or '(none)'}",
            fix="run the command in the project's folder; for runs on AWS, set FLOWYML_AWS_STORE",
        )
    return (by_backend[backend],)


def _entries(store: ArtifactStore) -> list[CacheEntry]:
    keys = [entry.key.removeprefix(CACHE).removesuffix(".json") for entry in store.walk(CACHE)]
    entries = map_concurrently(lambda key: read_entry(store, key), keys, limit=STORE_REQUESTS)
    return [entry for entry in entries if entry is not None]


def _by_prefix(
    prefix: str, cached: Mapping[ArtifactStore, Sequence[CacheEntry]]
) -> tuple[ArtifactStore, str]:
    matches = [
        (store, entry.key)
        for store, entries in cached.items()
        for entry in entries
        if entry.key.startswith(prefix)
    ]
    if len(matches) == 1:
        return matches[0]
    raise SettingsError(
        what=f"The cache has {len(matches) or 'no'} entries whose key starts with {prefix!r}",
        why="a key, or its first characters, must match exactly one entry",
        fix="list the keys with `flowyml-aws cache ls`",
    )


def _garbage_facts(garbage: Garbage) -> dict[str, Any]:
    facts = asdict(garbage)
    kinds = ("runs", "entries", "contents")
    sizes = {f"{kind}_bytes": sum(e["size_bytes"] for e in facts[kind]) for kind in kinds}
    keys = {kind: [entry["key"] for entry in facts[kind]] for kind in kinds}
    return {**facts, **keys, **sizes, "runs": garbage.run_ids}


def _print_garbage(uri: str, garbage: Garbage, verb: str) -> None:
    print(f"{uri}: {verb}")
    for noun, count, objects in (
        ("runs", len(garbage.run_ids), garbage.runs),
        ("cache entries and times", len(garbage.entries), garbage.entries),
        ("values, steps and bundles", len(garbage.contents), garbage.contents),
    ):
        print(f"  {count:>8,}  {noun} ({decimal(sum(o.size_bytes for o in objects))})")
    if garbage.unfinished:
        print(f"  {garbage.unfinished:>8,}  unfinished writes")
    if garbage.unended:
        more = f" and {len(garbage.unended) - 3} more" if garbage.unended[3:] else ""
        print(
            f"  kept, because their end is not recorded: {', '.join(garbage.unended[:3])}{more} "
            "(continue them with `flowyml-aws attach RUN`, or cancel them)"
        )
