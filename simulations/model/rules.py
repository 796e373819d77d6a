"""The rules of recovery, each a flag that can be taken away to see what breaks. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

__all__ = ["Rules"]


@dataclass(frozen=True, slots=True)
class Rules:
    """The full set by default; ``without`` takes one away.

    >>> Rules().without("amnesia").amnesia
    False
    """

    restart_proves: bool = True
    """A start appends only in an epoch granted to it. Without: it goes on in the epoch on its disk (trust-disk)."""
    enough_answers: bool = True
    """R others must answer. Without: one fewer."""
    adopt_highest: bool = True
    """A start stands on the highest (epoch, next) of the answers and its disk. Without: on its disk alone."""
    ballot_as_epoch: bool = True
    """The new epoch is the ballot. Without: the highest epoch seen, plus one."""
    promise_once: bool = True
    """A witness answers a ballot only above all that it promised. Without: the same ballot again, to another start."""
    promise_durable: bool = True
    """The promise is persisted before it is answered. Without: a crash of the witness forgets it."""
    promise_fences: bool = True
    """After its promise a tip moves only to that epoch or later; older batches are staged. Without: also to older."""
    promise_names_start: bool = True
    """The signed answer names the start it was given to. Without: any start with that ballot can use it."""
    climbs: bool = True
    """An author that may append and learns of a promise above its epoch starts again, above it. Without: it goes on."""
    one_epoch_stability: bool = True
    """Only tips of one epoch add up to stable. Without: any tips."""
    amnesia: bool = True
    """A store made by ``recover`` is amnesiac. Without: it takes part at once."""
    no_receipts_when_amnesiac: bool = True
    """Tips of an amnesiac replica count for nothing. Without: as receipts."""
    no_promises_when_amnesiac: bool = True
    """An amnesiac replica answers no ``Prepare``. Without: it does."""
    amnesia_ends_with_author: bool = True
    """It ends by what the author shows. Without: by what any R other nodes hold."""
    amnesia_awaits_proof: bool = True
    """The tip of an author whose start is not granted ends it only where fewer than R others remember.
    Without: in any case."""
    amnesia_ends_below_promise: bool = True
    """It ends with the author's tip even below what the replica promised. Without: the fence holds here, too."""
    reminded_is_silent: bool = True
    """Where that tip is below the promise, it is no receipt until a batch of the promised epoch has come.
    Without: it is one at once."""
    amnesia_takes_ballot: bool = True
    """It ends with the ballot of the author's present start as its promise. Without: with what it had promised."""
    cut_is_amnesia: bool = True
    """A replica whose tail was cut on opening is amnesiac. Without: it takes part as if it had been shorter."""
    rewrite_on_opening: bool = True
    """Opening syncs what is not known to be synced before showing it. Without: it shows it at once."""
    justified_epoch_batch: bool = True
    """Peers accept an epoch batch only on or above the highest answer in it. Without: anywhere."""
    founding_needs_all: bool = True
    """A founding author's first epoch needs all n-1 others. Without: R."""
    founding_recognised: bool = True
    """A founding store whose log is known to anyone becomes amnesiac. Without: it takes part as new."""
    founding_starts_anew: bool = True
    """A founding author that is recognised starts anew. Without: it keeps the answers it has."""
    founding_hears_amnesiacs: bool = True
    """An amnesiac witness that knows nothing of the log answers a founding author. Without: it stays silent."""
    founding_silent: bool = True
    """A founding witness gives no receipts, and promises only to a founding author. Without: as any other."""

    def without(self, *names: str) -> Rules:
        """These rules but the named ones. Raises `ValueError` for a name that is none of them."""
        for name in names:
            if name not in self.names():
                raise ValueError(f"no rule {name!r}: the rules are {', '.join(self.names())}")
        return replace(self, **dict.fromkeys(names, False))

    @classmethod
    def names(cls) -> list[str]:
        """All rules, in the order of the protocol."""
        return [field.name for field in fields(cls)]
