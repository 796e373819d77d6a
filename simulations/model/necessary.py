"""Bounds to search: where all rules hold, and for each rule where the others do not suffice. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from simulations.model.states import Bounds, Budget

__all__ = ["LARGE", "NEEDED", "SMALL", "Need"]


@dataclass(frozen=True)
class Need:
    """Bounds within which the rules hold, and fail without one of them."""

    bounds: Bounds
    broken: str  # what breaks without it
    why: str


def _bounds(nodes: int, *, founding: bool = False, away: int = 0, **budget: int) -> Bounds:
    return Bounds(nodes, Budget(**budget), founding=founding, away=away)


NEEDED: Final[Mapping[str, Need]] = MappingProxyType(
    {
        "restart_proves": Need(_bounds(4, events=2, lies=1), "FORK", "a disk that lied is appended to again"),
        "enough_answers": Need(_bounds(3, events=1, wipes=1), "LOST", "nobody who answers knows the stable event"),
        "adopt_highest": Need(_bounds(3, events=1, wipes=1), "LOST", "the answer that knows it is not listened to"),
        "ballot_as_epoch": Need(_bounds(2, events=0, wipes=2), "FORK", "two starts compute one epoch"),
        "promise_once": Need(_bounds(2, events=0, wipes=2), "FORK", "two starts are granted one epoch"),
        "promise_durable": Need(_bounds(2, events=1, wipes=1, restarts=1), "LOST", "an orphan becomes stable"),
        "promise_fences": Need(_bounds(2, events=1, wipes=1), "LOST", "an orphan becomes stable"),
        "promise_names_start": Need(_bounds(2, events=0, wipes=2), "FORK", "an old promise grants a new start"),
        "climbs": Need(
            _bounds(4, events=0, crashes=3), "WEDGE", "a witness that promised more can follow nothing below it"
        ),
        "one_epoch_stability": Need(_bounds(4, events=1, wipes=2), "LOST", "an answer with a newer epoch outranks it"),
        "amnesia": Need(_bounds(3, events=1, wipes=1, witness_wipes=1), "LOST", "who forgot answers as if it knew"),
        "no_receipts_when_amnesiac": Need(
            _bounds(2, events=1, wipes=1, witness_wipes=1), "LOST", "its promise is forgotten: an orphan becomes stable"
        ),
        "no_promises_when_amnesiac": Need(
            _bounds(3, events=1, wipes=1, witness_wipes=1), "LOST", "who forgot answers as if it knew"
        ),
        "amnesia_ends_with_author": Need(
            _bounds(5, events=1, wipes=1, witness_wipes=1), "LOST", "R others may all be behind the author's new epoch"
        ),
        "amnesia_awaits_proof": Need(
            _bounds(4, events=1, lies=1, witness_wipes=1), "LOST", "a restored backup is taken for the log"
        ),
        "amnesia_ends_below_promise": Need(
            _bounds(2, events=1, crashes=2, cuts=1), "WEDGE", "it can never hold what the author shows"
        ),
        "reminded_is_silent": Need(
            _bounds(3, events=1, bumps=1, crashes=1, witness_wipes=1),
            "AGREE",
            "a byzantine author shows a tip and starts below it",
        ),
        "amnesia_takes_ballot": Need(
            _bounds(3, events=1, bumps=1, crashes=1, witness_wipes=1),
            "AGREE",
            "a byzantine author has what it once was promised",
        ),
        "cut_is_amnesia": Need(_bounds(3, events=1, wipes=1, cuts=1), "LOST", "who forgot answers as if it knew"),
        "rewrite_on_opening": Need(
            _bounds(3, events=1, wipes=1, kills=1, power_cuts=1), "LOST", "a receipt for what the disk does not have"
        ),
        "justified_epoch_batch": Need(_bounds(3, events=1, bumps=1, crashes=1), "AGREE", "history is rewritten"),
        "founding_needs_all": Need(_bounds(4, founding=True, events=0, inits=2), "FORK", "lost disks found anew"),
        "founding_recognised": Need(
            _bounds(3, founding=True, events=0, inits=1, wipes=1), "LOST", "a lost disk answers as new"
        ),
        "founding_starts_anew": Need(
            _bounds(3, founding=True, events=0, inits=2), "LOST", "another lost disk's answer is counted"
        ),
        "founding_hears_amnesiacs": Need(
            _bounds(3, founding=True, events=0, inits=1), "WEDGE", "one disk lost while founding stops all"
        ),
        "founding_silent": Need(
            _bounds(3, founding=True, events=0, inits=1, wipes=1),
            "LOST",
            "a lost disk that nobody knows answers as new",
        ),
    }
)
"""For each rule, the smallest bounds that we know of in which its absence is found."""

SMALL: Final[tuple[Bounds, ...]] = (
    _bounds(2, events=2, wipes=1, lies=1, witness_wipes=1, cuts=1),
    _bounds(2, events=1, wipes=1, crashes=1, twins=1),
    _bounds(3, events=1, crashes=1, twins=1),
    _bounds(3, events=2, wipes=1, crashes=1, cuts=1),
    _bounds(3, events=1, wipes=1, lies=1, witness_wipes=1),
    _bounds(3, events=1, crashes=1, witness_lies=1, witness_wipes=1),
    _bounds(3, events=1, bumps=1, crashes=1, witness_wipes=1),
    _bounds(4, events=1, bumps=1, crashes=1, witness_wipes=1),
    _bounds(3, founding=True, events=1, inits=1, wipes=1),
    _bounds(3, founding=True, events=1, inits=2),
    _bounds(4, away=1, events=1, crashes=1, cuts=1),
    _bounds(4, events=1, wipes=2),
    _bounds(4, events=1, lies=1, witness_wipes=1),
    _bounds(5, events=1, wipes=1, witness_wipes=1),
    _bounds(5, events=1, lies=1, witness_wipes=1),
)
"""Searched in every run of the tests."""

LARGE: Final[tuple[Bounds, ...]] = (
    _bounds(2, events=2, wipes=2, lies=1, crashes=1, witness_wipes=1),
    _bounds(2, events=2, wipes=1, crashes=2, twins=1),
    _bounds(3, events=2, wipes=1, lies=1, witness_wipes=1),
    _bounds(3, events=2, wipes=1, crashes=1, witness_wipes=1),
    _bounds(3, events=2, crashes=1, witness_wipes=1, twins=1),
    _bounds(3, events=2, crashes=2, witness_lies=1, witness_wipes=1),
    _bounds(3, events=2, bumps=2, crashes=2, witness_wipes=1),
    _bounds(3, founding=True, events=1, inits=1, witness_wipes=1, wipes=1),
    _bounds(4, events=2, wipes=1, lies=1),
    _bounds(4, events=1, wipes=1, crashes=1, witness_wipes=1),
    _bounds(4, away=1, events=1, crashes=1, witness_wipes=2),
    _bounds(4, away=1, events=1, crashes=3),
    _bounds(4, founding=True, events=0, inits=2),
    _bounds(5, events=1, wipes=2),
    _bounds(5, events=1, wipes=1, lies=1, witness_wipes=1),
    _bounds(5, away=1, events=1, crashes=1, witness_wipes=2),
    _bounds(3, events=2, wipes=2, crashes=1, cuts=1),
    _bounds(3, events=2, wipes=1, lies=1, crashes=1, witness_wipes=1),
)
"""Searched by hand: half a minute to ten minutes each."""
