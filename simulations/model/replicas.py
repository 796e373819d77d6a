"""What moves a replica's tip, what of it counts as a receipt, and what ends its amnesia. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations

from simulations.model.chains import Chain, epoch_of, holds, key_of
from simulations.model.rules import Rules
from simulations.model.states import Act, Bounds, Mode, Promised, State, Step, Witness

__all__ = ["justified", "replica_steps", "show_tip", "sources", "take_over", "takes", "with_witness"]


def takes(rules: Rules, replica: Witness, offer: Chain) -> bool:
    """Whether the replica's tip moves to ``offer``, of which it has checked every signature.

    It does not where it holds that already, where the offer is of an older epoch than it promised (such batches
    are staged: they change no tip), where an epoch batch in it is not justified, or where it is another branch
    that is not of a newer epoch.
    """
    if holds(replica.chain, offer) or _fenced(rules, replica, offer):
        return False
    if rules.justified_epoch_batch and not justified(offer):
        return False
    return holds(offer, replica.chain) or epoch_of(offer) > epoch_of(replica.chain)


@lru_cache(maxsize=1 << 16)
def justified(chain: Chain) -> bool:
    """Whether every epoch batch stands on or above the highest answer that it carries."""
    return all(key_of(chain[:seq]) >= batch.grounds for seq, batch in enumerate(chain) if batch.opens)


def _fenced(rules: Rules, replica: Witness, offer: Chain) -> bool:
    if not rules.promise_fences or not replica.promised.ballot:
        return False
    if rules.ballot_as_epoch:
        return epoch_of(offer) < replica.promised.ballot
    return replica.promised.start >= 0 and epoch_of(offer) <= epoch_of(replica.chain)


def take_over(rules: Rules, replica: Witness, chain: Chain) -> Witness:
    """The replica with its tip at ``chain``, synced, and shown if its tips count."""
    promised = replica.promised
    if not rules.ballot_as_epoch and epoch_of(chain) > epoch_of(replica.chain):
        promised = Promised(promised.ballot, -1)  # what was promised has come: no fence any more
    return show_tip(rules, replica._replace(chain=chain, synced=chain, promised=promised))


def show_tip(rules: Rules, replica: Witness) -> Witness:
    """The replica with its tip among its receipts, unless its tips count for nothing."""
    if rules.no_receipts_when_amnesiac and replica.amnesiac:
        return replica
    if rules.founding_silent and replica.founding:
        return replica
    tip, epoch = replica.chain, epoch_of(replica.chain)
    if not tip or any(holds(one, tip) and epoch_of(one) == epoch for one in replica.shown):
        return replica
    others = [one for one in replica.shown if not (holds(tip, one) and epoch_of(one) == epoch)]
    return replica._replace(shown=tuple(sorted([*others, tip])))


def sources(state: State, bounds: Bounds) -> list[Chain]:
    """All that a fetch may bring: what any node holds or is still under way, and every beginning of it."""
    whole = {state.author.chain, state.author.twin.chain, *(one.chain for one in state.witnesses), *state.relayed}
    if not bounds.partial:
        return sorted(whole)
    return sorted({chain[:stop] for chain in whole for stop in range(1, len(chain) + 1)})


def replica_steps(rules: Rules, bounds: Bounds, state: State) -> Iterator[tuple[Step, State]]:
    """Fetches, ends of amnesia, and the first epochs of the witnesses' own logs."""
    offers = sources(state, bounds)
    for who, replica in enumerate(state.witnesses, 1):
        for offer in offers:
            if takes(rules, replica, offer):
                yield Step(Act.FETCH, who, offer), with_witness(state, who, take_over(rules, replica, offer))
                if state.left.kills:
                    yield _kill(rules, state, who, offer)
        if replica.amnesiac:
            yield from _ends_of_amnesia(rules, bounds, state, who)
        if replica.founding:
            yield from _founding(rules, state, who)


def _kill(rules: Rules, state: State, who: int, offer: Chain) -> tuple[Step, State]:
    before = state.witnesses[who - 1]
    after = take_over(rules, before, offer)
    if not rules.rewrite_on_opening:
        after = after._replace(synced=before.synced)
    left = state.left._replace(kills=state.left.kills - 1)
    return Step(Act.KILL, who, offer), with_witness(state, who, after)._replace(left=left)


def _ends_of_amnesia(rules: Rules, bounds: Bounds, state: State, who: int) -> Iterator[tuple[Step, State]]:
    author, replica = state.author, state.witnesses[who - 1]
    if rules.amnesia_ends_with_author:
        if author.mode is Mode.WIPED or author.founding:
            return  # what it shows is not what its log was
        forgetful = sum(one.amnesiac for one in state.witnesses)
        if rules.amnesia_awaits_proof and author.mode is Mode.STARTING and forgetful <= bounds.majority - 2:
            return  # R others may remember more than its disk does
        granted = Promised(max(epoch_of(author.chain), author.ballot), state.starts)
        shown = [(author.chain, granted)]
    else:
        others = [
            (one.chain, one.promised) for at, one in enumerate(state.witnesses, 1) if at != who and not one.amnesiac
        ]
        if author.mode is Mode.READY:
            others.append((author.chain, Promised(epoch_of(author.chain), state.starts)))
        shown = [
            (max((chain for chain, _ in some), key=key_of), max(promised for _, promised in some))
            for some in combinations(others, bounds.answers)
        ]
    for tip, granted in dict.fromkeys(shown):
        if rules.justified_epoch_batch and not justified(tip):
            continue
        # The author's tip counts even below the replica's promise: the author's next epoch will stand on it.
        # What the replica has beyond is fenced by the ballot that it takes over now, and staged.
        ahead = holds(replica.chain, tip) or key_of(replica.chain) > key_of(tip)
        promised = replica.promised
        if rules.amnesia_takes_ballot:
            promised = max(promised, granted, key=_ballot)  # a ballot it has promised stays with its start
            ahead = ahead and epoch_of(replica.chain) >= granted.ballot
        if not rules.amnesia_ends_below_promise and not ahead and _fenced(rules, replica, tip):
            continue
        chain = replica.chain if ahead else tip
        after = replica._replace(amnesiac=False, promised=promised, chain=chain, synced=chain)
        if not rules.reminded_is_silent or epoch_of(chain) >= promised.ballot:
            after = show_tip(rules, after)  # else the first batch of the promised epoch will
        yield Step(Act.CAUGHT_UP, who, tip, granted.ballot), with_witness(state, who, after)


def _ballot(promised: Promised) -> int:
    return promised.ballot


def _founding(rules: Rules, state: State, who: int) -> Iterator[tuple[Step, State]]:
    replica = state.witnesses[who - 1]
    if replica.known and rules.founding_recognised:
        after = replica._replace(founding=False, amnesiac=rules.amnesia)
        yield Step(Act.RECOGNISED, who), with_witness(state, who, after)
    else:
        after = show_tip(rules, replica._replace(founding=False, known=True))
        yield Step(Act.FOUNDED, who), with_witness(state, who, after)


def with_witness(state: State, who: int, witness: Witness) -> State:
    """The state with another witness in place ``who``, counted from 1."""
    witnesses = state.witnesses
    return state._replace(witnesses=(*witnesses[: who - 1], witness, *witnesses[who:]))
