"""Near misses: cheaper instance types that lack a little of one amount."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flowyml_aws.core.amounts import usd
from flowyml_aws.planning.eligibility import SelectionRequest, last_resort, open_targets, pool
from flowyml_aws.planning.needs import Amounts, Needs
from flowyml_aws.planning.targets import Candidate
from flowyml_aws.planning.wording import amounts_text, lacking

__all__ = ["NearMiss", "near_misses"]

_MAX_REDUCTION = 0.25  # share of the amount that a job may be expected to do without
_MIN_SAVING = 0.1  # share of the price; smaller savings are not reported


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A cheaper type that lacks a little of one amount.

    Attributes:
        lacks: Name of the amount: a field of `Amounts`.
        gives: Amount to request instead, in the field's unit.
        candidate: Candidate that fits the reduced request.
        saved: Saving as a share of the price.
    """

    needs: Needs
    lacks: str
    gives: int
    candidate: Candidate
    saved: float

    def __str__(self) -> str:
        requested, model = self.needs.amounts, self.needs.gpu_model
        reduced = requested._replace(**{self.lacks: self.gives})
        # The price is known: the saving is calculated from it.
        price = self.needs.price_of_nodes(self.candidate.price_usd_hour) or 0.0
        return (
            f"{amounts_text(reduced, (self.lacks,), model)} instead of "
            f"{amounts_text(requested, (self.lacks,), model)} would fit {self.candidate.name} "
            f"at {usd(price)} an hour: {self.saved:.0%} less"
        )


def near_misses(request: SelectionRequest, best: Candidate) -> Iterator[NearMiss]:
    """Yield, for each amount, the cheapest type that lacks only a little of it and saves enough."""
    if best.price_usd_hour is None:
        return
    needs = request.needs
    by_amount: dict[str, NearMiss] = {}
    targets, hardware = open_targets(request)
    for candidate in (c for t in targets for c in pool(hardware, t, request.catalog)):
        price = candidate.price_usd_hour
        if price is None or price > best.price_usd_hour * (1 - _MIN_SAVING):
            continue
        lacks = lacking(needs, candidate)
        if len(lacks) != 1 or last_resort(hardware, candidate.instance):
            continue
        if candidate.node_refusal(needs.nodes) is not None:
            continue
        (name,) = lacks
        gives = _requestable(name, getattr(candidate.gives, name))
        if gives < getattr(needs.amounts, name) * (1 - _MAX_REDUCTION):
            continue
        if name not in by_amount or candidate.rank < by_amount[name].candidate.rank:
            saved = 1 - price / best.price_usd_hour
            by_amount[name] = NearMiss(needs, name, gives, candidate, saved)
    yield from (by_amount[name] for name in Amounts._fields if name in by_amount)


def _requestable(name: str, amount: int) -> int:
    """Round memory down to whole GiB, as users write it; return other amounts unchanged."""
    return amount // 1024 * 1024 if name == "memory_mib" and amount >= 1024 else amount
