"""The author: appending, and starting by ballot, promises and an epoch batch. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from simulations.model.chains import Batch, Chain, epoch_of, holds, key_of
from simulations.model.replicas import with_witness
from simulations.model.rules import Rules
from simulations.model.states import NO_PROMISE, Act, Answer, Author, Bounds, Mode, Promised, State, Step, Twin, Witness

__all__ = ["TWICE", "author_steps", "forget_answers", "knows"]

TWICE = Promised(-1, -1)
"""History of a witness that promised one ballot to two starts."""


def author_steps(rules: Rules, bounds: Bounds, state: State) -> Iterator[tuple[Step, State]]:
    """Everything the author does by itself, or with one answer of a witness."""
    yield from _append(state)
    if state.author.mode is Mode.READY:
        if rules.climbs:
            yield from _climb(state)
    else:
        if state.author.founding and rules.founding_recognised:
            yield from _recognised(rules, state)
        if not state.author.ballot:
            yield from _prepare(rules, state)
        else:
            for who in range(1, bounds.nodes):
                yield from _ask(rules, state, who)
            yield from _commit(rules, bounds, state)
    if state.author.twin.asked != NO_PROMISE:
        yield from _twin_starts(rules, bounds, state)
    if state.left.bumps and state.author.ballot:
        yield from _bump(rules, bounds, state)


def _append(state: State) -> Iterator[tuple[Step, State]]:
    author, left = state.author, state.left
    if not left.events:
        return
    left = left._replace(events=left.events - 1)
    if author.mode is Mode.READY:
        chain = _extended(state, author.chain, Batch(epoch_of(author.chain), 0))
        yield Step(Act.APPEND, 0, chain), state._replace(author=author._replace(chain=chain), left=left)
    if author.twin.chain and author.twin.asked == NO_PROMISE:
        chain = _extended(state, author.twin.chain, Batch(epoch_of(author.twin.chain), 0))
        twin = author.twin._replace(chain=chain)
        yield Step(Act.TWIN_APPEND, 0, chain), state._replace(author=author._replace(twin=twin), left=left)


def _climb(state: State) -> Iterator[tuple[Step, State]]:
    """A witness promised more to a start that came to nothing, and can follow no epoch below that."""
    highest = max((witness.promised.ballot for witness in state.witnesses if not witness.amnesiac), default=0)
    if highest > epoch_of(state.author.chain):
        yield Step(Act.CLIMB, 0, (), highest), state._replace(author=state.author._replace(mode=Mode.STARTING))


def _prepare(rules: Rules, state: State) -> Iterator[tuple[Step, State]]:
    """Pick a ballot above what some of the witnesses show: safety never rests on having seen all."""
    own = epoch_of(state.author.chain)
    shown = {own}
    for witness in state.witnesses:
        shown |= {max(own, witness.promised.ballot), max(own, epoch_of(witness.chain))}
    for highest in sorted(shown):
        author = state.author._replace(ballot=highest + 1)
        yield Step(Act.PREPARE, 0, (), highest + 1), forget_answers(rules, state._replace(author=author))


def _ask(rules: Rules, state: State, who: int) -> Iterator[tuple[Step, State]]:
    witness, author = state.witnesses[who - 1], state.author
    asked = _asked(state)
    heard = author.founding and rules.founding_hears_amnesiacs and not knows(witness, author)
    if witness.amnesiac and rules.no_promises_when_amnesiac and not heard:
        return
    if witness.founding and rules.founding_silent and not author.founding:
        return
    if any(answer.promised == asked for answer in witness.answers):
        return
    if _may_promise(rules, witness, asked):
        if author.founding and rules.founding_recognised and knows(witness, state.author):
            return  # answers that it knows the log: see _recognised
        yield Step(Act.PROMISE, who, witness.chain, asked.ballot), _promise(rules, state, who, asked)
    else:
        state = forget_answers(rules, state._replace(author=author._replace(ballot=0)))
        yield Step(Act.REFUSE, who, (), witness.promised.ballot), state


def _may_promise(rules: Rules, witness: Witness, asked: Promised) -> bool:
    if asked.ballot <= epoch_of(witness.chain) and rules.ballot_as_epoch:
        return False
    if rules.promise_once:
        return asked.ballot > witness.promised.ballot or asked == witness.promised
    return asked.ballot >= witness.promised.ballot


def _promise(rules: Rules, state: State, who: int, asked: Promised) -> State:
    witness = state.witnesses[who - 1]
    given = witness.given
    twice = given == TWICE or (given.ballot == asked.ballot and given.start != asked.start)
    given = TWICE if twice else max(given, asked)
    answers = tuple(sorted([*witness.answers, Answer(asked, witness.chain)]))
    return with_witness(state, who, witness._replace(promised=asked, answers=answers, given=given))


def knows(witness: Witness, author: Author) -> bool:
    """Whether the witness knows the log, or an epoch of it that was promised to an older store than this one."""
    return bool(witness.chain) or (witness.promised.ballot > 0 and witness.promised.start < author.founding)


def _recognised(rules: Rules, state: State) -> Iterator[tuple[Step, State]]:
    """By what a witness shows of the log or, where it once promised an epoch of it, by its promise of another."""
    asked = _asked(state)
    for who, witness in enumerate(state.witnesses, 1):
        silent = witness.amnesiac and rules.no_promises_when_amnesiac
        by_promise = bool(state.author.ballot) and not silent and _may_promise(rules, witness, asked)
        if witness.chain or (by_promise and knows(witness, state.author)):
            after = state if witness.chain else _promise(rules, state, who, asked)
            after = after._replace(author=after.author._replace(mode=Mode.WIPED, founding=0))
            if rules.founding_starts_anew:
                after = after._replace(author=after.author._replace(ballot=0), starts=state.starts + 1)
            yield Step(Act.RECOGNISED, 0, witness.chain, who), forget_answers(rules, after)


def _answer_sets(
    rules: Rules, bounds: Bounds, state: State, asked: Promised, *, founding: bool
) -> Iterator[tuple[Chain, ...]]:
    """Tips of every set of answers that is enough: any others may have been lost on the way."""
    tips = [
        sorted({one.tip for one in witness.answers if _is_for(rules, one, asked)})[-1:] for witness in state.witnesses
    ]
    needed = bounds.answers - (not rules.enough_answers)
    if founding and rules.founding_needs_all:
        needed = bounds.nodes - 1
    yield from dict.fromkeys(combinations(sorted(tip[0] for tip in tips if tip), needed))


def _is_for(rules: Rules, answer: Answer, asked: Promised) -> bool:
    return answer.promised == asked or (not rules.promise_names_start and answer.promised.ballot == asked.ballot)


def _asked(state: State) -> Promised:
    return Promised(state.author.ballot, state.starts)


def _commit(rules: Rules, bounds: Bounds, state: State) -> Iterator[tuple[Step, State]]:
    own = state.author.chain
    outcomes = {}  # by step: many sets of answers may lead to one
    for tips in _answer_sets(rules, bounds, state, _asked(state), founding=bool(state.author.founding)):
        best = max((own, *tips), key=key_of) if rules.adopt_highest else own
        epoch = state.author.ballot if rules.ballot_as_epoch else 1 + max(map(epoch_of, (own, *tips)))
        step, after = _opened(rules, bounds, state, Act.COMMIT, best, epoch, tips)
        outcomes[step] = after
    yield from outcomes.items()


def _twin_starts(rules: Rules, bounds: Bounds, state: State) -> Iterator[tuple[Step, State]]:
    """The older process has asked, too: witnesses may still answer, and it may still commit."""
    twin = state.author.twin
    for who, witness in enumerate(state.witnesses, 1):
        answered = any(answer.promised == twin.asked for answer in witness.answers)
        if not (answered or witness.amnesiac or witness.founding) and _may_promise(rules, witness, twin.asked):
            step = Step(Act.PROMISE, who, witness.chain, twin.asked.ballot)
            yield step._replace(act=Act.TWIN_PROMISE), _promise(rules, state, who, twin.asked)
    outcomes = {}
    for tips in _answer_sets(rules, bounds, state, twin.asked, founding=False):
        best = max((twin.chain, *tips), key=key_of)
        chain = _extended(state, best, Batch(twin.asked.ballot, 0, opens=True))
        author = state.author._replace(twin=Twin(chain, NO_PROMISE))
        outcomes[chain] = forget_answers(rules, state._replace(author=author))
    for chain, after in outcomes.items():
        yield Step(Act.TWIN_COMMIT, 0, chain, epoch_of(chain)), after


def _bump(rules: Rules, bounds: Bounds, state: State) -> Iterator[tuple[Step, State]]:
    """Valid answers, but a branch of its own choice."""
    known = {state.author.chain, *state.relayed, *(one.chain for one in state.witnesses)}
    branches = sorted({chain[:stop] for chain in known for stop in range(len(chain) + 1)})
    left = state.left._replace(bumps=state.left.bumps - 1)
    outcomes = {}
    for tips in _answer_sets(rules, bounds, state, _asked(state), founding=bool(state.author.founding)):
        for branch in branches:
            if epoch_of(branch) < state.author.ballot:
                step, after = _opened(rules, bounds, state, Act.BUMP, branch, state.author.ballot, tips)
                outcomes[step] = after._replace(left=left)
    yield from outcomes.items()


def _opened(
    rules: Rules, bounds: Bounds, state: State, act: Act, branch: Chain, epoch: int, tips: tuple[Chain, ...]
) -> tuple[Step, State]:
    grounds = max(map(key_of, tips), default=(0, 0)) if bounds.budget.bumps else (0, 0)
    chain = _extended(state, branch, Batch(epoch, 0, opens=True, grounds=grounds))
    author = state.author._replace(chain=chain, mode=Mode.READY, founding=0, ballot=0, short=False)
    return Step(act, 0, chain, epoch), forget_answers(rules, state._replace(author=author))


def _extended(state: State, chain: Chain, batch: Batch) -> Chain:
    """The chain with a batch that nobody else has: the first identity that is free after this chain."""
    seq = len(chain)
    used: set[int] = set()
    for other in _everything(state):
        if len(other) > seq and holds(other, chain) and other[seq].epoch == batch.epoch:
            used.add(other[seq].event)
    return (*chain, batch._replace(event=next(free for free in range(len(used) + 1) if free not in used)))


def _everything(state: State) -> Iterator[Chain]:
    yield from (state.author.chain, state.author.twin.chain, *state.relayed)
    for witness in state.witnesses:
        yield from (witness.chain, *witness.shown, *(one.tip for one in witness.answers))


def forget_answers(rules: Rules, state: State) -> State:
    """The state without answers that can serve no start any more."""
    if not rules.promise_names_start:
        return state
    asked = {_asked(state) if state.author.ballot else NO_PROMISE, state.author.twin.asked}
    witnesses = tuple(
        one._replace(answers=tuple(a for a in one.answers if a.promised in asked)) if one.answers else one
        for one in state.witnesses
    )
    return state._replace(witnesses=witnesses)
