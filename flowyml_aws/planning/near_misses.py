"""What a job could give up a little of, and pay less."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flowyml_aws.planning.eligibility import SelectionRequest, last_resort, open_targets, pool
from flowyml_aws.planning.needs import Amounts, Needs
from flowyml_aws.planning.targets import Candidate
from flowyml_aws.planning.wording import amounts_text, lacking

__all__ = ["NearMiss", "near_misses"]

_MOST_GIVEN_UP = 0.25  # of the amount: more is another job
_LEAST_SAVED = 0.1  # of the price: less is not worth a word


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A cheaper type that lacks a little of one amount.

    Attributes:
        lacks: The amount, a field of `Amounts`.
        gives: What to ask for instead, in the field's unit.
        candidate: What fits then.
        saved: Part of the price.
    """

    needs: Needs
    lacks: str
    gives: int
    candidate: Candidate
    saved: float

    def __str__(self) -> str:
        asked, model = self.needs.amounts, self.needs.gpu_model
        less = asked._replace(**{self.lacks: self.gives})
        return (
            f"{amounts_text(less, (self.lacks,), model)} instead of "
            f"{amounts_text(asked, (self.lacks,), model)} would fit {self.candidate.name} "
            f"at ${self.candidate.price_usd_hour:.4g} an hour: {self.saved:.0%} less"
        )


def near_misses(question: SelectionRequest, best: Candidate) -> Iterator[NearMiss]:
    """For each amount, the cheapest type that lacks a little of this one alone, where it pays."""
    if best.price_usd_hour is None:
        return
    needs = question.needs
    found: dict[str, NearMiss] = {}
    targets, kind = open_targets(question)
    for candidate in (c for t in targets for c in pool(kind, t, question.catalog)):
        price = candidate.price_usd_hour
        if price is None or price > best.price_usd_hour * (1 - _LEAST_SAVED):
            continue
        short = lacking(needs, candidate)
        if len(short) != 1 or last_resort(kind, candidate.instance):
            continue
        (name,) = short
        gives = _askable(name, getattr(candidate.gives, name))
        if gives < getattr(needs.amounts, name) * (1 - _MOST_GIVEN_UP):
            continue
        if name not in found or candidate.rank < found[name].candidate.rank:
            saved = 1 - price / best.price_usd_hour
            found[name] = NearMiss(needs, name, gives, candidate, saved)
    yield from (found[name] for name in Amounts._fields if name in found)


def _askable(name: str, amount: int) -> int:
    """Memory in whole GiB, as users write it."""
    return amount // 1024 * 1024 if name == "memory_mib" and amount >= 1024 else amount
