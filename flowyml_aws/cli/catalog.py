"""Commands for the catalog of instance types."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timezone
from typing import Annotated, Any

import typer

from flowyml_aws.catalog.cache import write_catalog
from flowyml_aws.catalog.changes import compare
from flowyml_aws.catalog.files import InvalidCatalogError, load_catalog
from flowyml_aws.catalog.types import Catalog, InstanceType
from flowyml_aws.cli.app import AsJson, app
from flowyml_aws.cli.facts import print_json
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.folders import cache_folder
from flowyml_aws.core.gpus import parse_gpu_name
from flowyml_aws.packaging.project import find_project
from flowyml_aws.services.account import Account
from flowyml_aws.settings.load import load_settings
from flowyml_aws.view import catalog_table
from flowyml_aws.view.terminal import Terminal

__all__ = ["refresh", "show"]

_MAX_NAMES = 5  # in a list of types
_WIDTH = 220  # if the output is not a terminal

catalog_commands = typer.Typer(help="Instance types and their prices.", no_args_is_help=True)
app.add_typer(catalog_commands, name="catalog")

Region = Annotated[
    str | None,
    typer.Option(help="AWS region; default: the setting `region`, AWS_REGION, or boto3's region."),
]


@catalog_commands.command()
def refresh(region: Region = None) -> None:
    """Download a region's instance types and prices from AWS; later plans use them."""
    account = _account(region)
    with Terminal(stderr=True).status("calling AWS") as status:
        described, table = account.instance_types(datetime.now(timezone.utc), status.update)
    name = described.specifications.region
    cache = cache_folder(os.environ)
    warnings = [*described.warnings, *table.warnings]
    try:
        before: Catalog | None = load_catalog(name, cache)
    except InvalidCatalogError as error:
        before = None
        warnings.append(f"replaced a damaged catalog: {error.what}")
    write_catalog(cache / name, described.specifications, table.prices)
    after = load_catalog(name, cache)
    for line in _change_summary(before, after):
        print(line)
    print(f"written to {cache / name}")
    _print_notes(warnings)


@catalog_commands.command()
def show(
    region: Region = None,
    family: Annotated[
        list[str] | None, typer.Option(metavar="FAMILY", help="Family, such as g4dn; repeatable.")
    ] = None,
    gpu: Annotated[str | None, typer.Option(metavar="NAME", help="GPU model, such as t4.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the instance types that plans use, with the sources of their data."""
    catalog = load_catalog(_account(region).region, cache_folder(os.environ))
    types = _filtered(catalog, family or [], gpu)
    if as_json:
        print_json(
            {
                "region": catalog.region,
                "sources": dict(catalog.sources),
                "types": [_facts(instance) for instance in types],
            }
        )
        return
    width = None if sys.stdout.isatty() else _WIDTH
    Terminal(width=width).print(catalog_table(catalog, types))
    _print_notes(catalog.notes(datetime.now(timezone.utc).date()))


def _account(region: str | None) -> Account:
    settings = load_settings(find_project([]).root, os.environ)
    return Account(replace(settings, region=region or settings.region))


def _print_notes(notes: Sequence[str]) -> None:
    console = Terminal(stderr=True)
    for note in notes:
        console.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)


def _filtered(catalog: Catalog, families: Sequence[str], gpu: str | None) -> list[InstanceType]:
    for family in families:
        if all(instance.family != family for instance in catalog.types):
            raise SettingsError(
                what=f"No instance type of family {family!r} in {catalog.region}",
                why="the catalog has none",
                fix="list all families with `flowyml-aws catalog show`, or update the catalog with "
                "`flowyml-aws catalog refresh`",
            )
    model = parse_gpu_name(gpu).model.name if gpu is not None else None
    return [
        instance
        for instance in catalog.types
        if (not families or instance.family in families)
        and (model is None or instance.gpu_model == model)
    ]


def _facts(instance: InstanceType) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(json.dumps(asdict(instance), default=str))
    return {"name": instance.name, "family": instance.family, **facts}


def _change_summary(before: Catalog | None, after: Catalog) -> list[str]:
    """Return lines with the number of types and prices, and with the changes."""
    types = after.types
    counts = (
        f"{after.region}: {len(types):,} instance types; prices: "
        f"{sum(t.price_usd_hour is not None for t in types):,} on-demand, "
        f"{sum(t.spot_usd_hour is not None for t in types):,} spot, "
        f"{sum(t.sagemaker_price_usd_hour is not None for t in types):,} SageMaker"
    )
    if before is None or before.region != after.region:
        return [counts]
    changes = compare(before, after)
    parts = [
        _listed("new", changes.added),
        _listed("no longer offered", changes.withdrawn),
        f"{len(changes.repriced):,} with changed prices" if changes.repriced else "",
        _listed("without an on-demand price", changes.unpriced),
    ]
    changed = "; ".join(filter(None, parts)) or "no changes"
    return [counts, f"since {before.prices_date}: {changed}"]


def _listed(title: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
    return f"{len(names):,} {title} ({', '.join(names[:_MAX_NAMES])}{more})"
