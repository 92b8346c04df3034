"""Commands on the catalog of instance types."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timezone
from typing import Annotated, Any

import typer
from rich.console import Console

from flowyml_aws.cli.app import AsJson, app
from flowyml_aws.cli.facts import print_json
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.gpus import parse_gpu_name
from flowyml_aws.packaging.project import find_project
from flowyml_aws.planning.catalog import Catalog, InstanceType
from flowyml_aws.planning.catalog_cache import write_catalog
from flowyml_aws.planning.catalog_changes import compare
from flowyml_aws.planning.catalog_files import InvalidCatalogError, cache_folder, load_catalog
from flowyml_aws.services.account import Account
from flowyml_aws.settings import load_settings
from flowyml_aws.view import catalog_table

__all__ = ["refresh", "show"]

_NAMED = 5  # of a list of types
_WIDTH = 220  # where no terminal limits it

catalog = typer.Typer(help="Instance types and their prices.", no_args_is_help=True)
app.add_typer(catalog, name="catalog")

Region = Annotated[
    str | None, typer.Option(help="Default: the setting, AWS_REGION, else as boto3 does.")
]


@catalog.command()
def refresh(region: Region = None) -> None:
    """Read a region's instance types and prices from AWS; plans use them from now on."""
    account = _account(region)
    with Console(stderr=True).status("asking AWS") as status:
        described, told = account.instance_types(datetime.now(timezone.utc), status.update)
    name = described.specifications.region
    cache = cache_folder(os.environ)
    warnings = [*described.warnings, *told.warnings]
    try:
        before: Catalog | None = load_catalog(name, cache)
    except InvalidCatalogError as error:
        before = None
        warnings.append(f"replaced a damaged catalog: {error.what}")
    write_catalog(cache / name, described.specifications, told.prices)
    after = load_catalog(name, cache)
    for line in _told(before, after):
        print(line)
    print(f"in {cache / name}")
    _note(warnings)


@catalog.command()
def show(
    region: Region = None,
    family: Annotated[
        list[str] | None, typer.Option(metavar="FAMILY", help="Such as g4dn; may repeat.")
    ] = None,
    gpu: Annotated[str | None, typer.Option(metavar="NAME", help="Such as t4.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the instance types that plans choose from, and where each figure comes from."""
    known = load_catalog(_account(region).region, cache_folder(os.environ))
    types = _chosen(known, family or [], gpu)
    if as_json:
        print_json(
            {
                "region": known.region,
                "sources": dict(known.sources),
                "types": [_facts(one) for one in types],
            }
        )
        return
    width = None if sys.stdout.isatty() else _WIDTH
    Console(width=width).print(catalog_table(known, types))
    _note(known.notes(datetime.now(timezone.utc).date()))


def _account(region: str | None) -> Account:
    settings = load_settings(find_project([]).root, os.environ)
    return Account(replace(settings, region=region or settings.region))


def _note(texts: Sequence[str]) -> None:
    console = Console(stderr=True)
    for text in texts:
        console.print(f"note: {text}", style="yellow", markup=False, soft_wrap=True)


def _chosen(known: Catalog, families: Sequence[str], gpu: str | None) -> list[InstanceType]:
    for family in families:
        if all(one.family != family for one in known.types):
            raise SettingsError(
                what=f"No instance type of family {family!r} in {known.region}",
                why="the catalog has none",
                fix="`flowyml-aws catalog show` lists all; `flowyml-aws catalog refresh` asks AWS",
            )
    model = parse_gpu_name(gpu).model.name if gpu is not None else None
    return [
        one
        for one in known.types
        if (not families or one.family in families) and (model is None or one.gpu_model == model)
    ]


def _facts(one: InstanceType) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(json.dumps(asdict(one), default=str))
    return {"name": one.name, "family": one.family, **facts}


def _told(before: Catalog | None, after: Catalog) -> list[str]:
    """How much there is, and what changed."""
    types = after.types
    counts = (
        f"{after.region}: {len(types):,} instance types; prices of "
        f"{sum(one.price_usd_hour is not None for one in types):,} on demand, "
        f"{sum(one.spot_usd_hour is not None for one in types):,} on spot, "
        f"{sum(one.sagemaker_price_usd_hour is not None for one in types):,} of SageMaker"
    )
    if before is None or before.region != after.region:
        return [counts]
    changes = compare(before, after)
    parts = [
        _listed("new", changes.added),
        _listed("no longer offered", changes.withdrawn),
        f"{len(changes.repriced):,} with other prices" if changes.repriced else "",
        _listed("without a price on demand", changes.unpriced),
    ]
    changed = "; ".join(filter(None, parts)) or "nothing has changed"
    return [counts, f"since {before.prices_date}: {changed}"]


def _listed(what: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"{len(names):,} {what} ({', '.join(names[:_NAMED])}{more})"
