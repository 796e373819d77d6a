"""Where model and product could drift apart, both are driven with the same schedules, and compared after each step."""

from __future__ import annotations

from random import Random

import pytest

from hydra_sync.wire import LogState, Promise
from simulations.model import Act, Bounds, Budget, Recovery, Rules
from tests.model.following import Follower

NODES = [2, 3, 4, 5]
FAULTS = [name for name in Budget._fields if name not in ("events", "restarts", "power_cuts", "bumps")]


def follower(seed: int, nodes: int, *, founding: bool = False, bumps: int = 0) -> Follower:
    """Some kinds of trouble, and how often; the rest is good weather."""
    chance = Random(f"{seed} {nodes} {founding} {bumps}")
    faults = {name: chance.randint(1, 3) for name in chance.sample(FAULTS, chance.randint(0, 4))}
    budget = Budget(**{"events": chance.randint(0, 5), "bumps": bumps, **faults})
    return Follower(Recovery(Rules(), Bounds(nodes, budget, founding=founding)), chance)


def follow(nodes: int, *steps: tuple[Act, int], founding: bool = False, seed: int = 0, **budget: int) -> Follower:
    """Just these steps: each is the first that the model offers of this kind, to this witness."""
    one = Follower(Recovery(Rules(), Bounds(nodes, Budget(**budget), founding=founding)), Random(seed))
    one.compare()
    for act, who in steps:
        offered = [step for step, _ in one.model.steps(one.state) if (step.act, step.who) == (act, who)]
        assert any(one.follow(step) for step in offered), f"{act} of {who} cannot be followed"
        one.compare()
    return one


@pytest.mark.parametrize("nodes", NODES)
@pytest.mark.parametrize("founding", [False, True])
def test_the_product_does_what_the_model_says(nodes: int, founding: bool) -> None:
    """Chains, promises, flags, receipts, refusals, what is stable and who may append are the same after each step."""
    for seed in range(16):
        one = follower(seed, nodes, founding=founding)
        one.walk(40)
        one.all_show()


@pytest.mark.parametrize("nodes", NODES)
def test_witnesses_judge_a_byzantine_author_as_the_model_does(nodes: int) -> None:
    """They take over epoch batches that stand where the answers allow it, and no others."""
    for seed in range(8):
        one = follower(seed, nodes, bumps=2)
        one.walk(40)
        one.all_show()


# What the random schedules have found


def test_a_recovered_store_that_nobody_knows_gives_no_receipts() -> None:
    """Carol's disk is lost before her own log has begun. Were it lost once more, `init` would take her for new."""
    one = follow(
        3,
        (Act.PREPARE, 0),
        (Act.PROMISE, 1),
        (Act.PROMISE, 2),
        (Act.COMMIT, 0),
        (Act.WITNESS_WIPE, 2),
        (Act.CAUGHT_UP, 2),
        founding=True,
        witness_wipes=1,
    )
    carol = one.witness(2)
    assert carol.shows(one.log).state is LogState.FOUNDING
    one._reveal(carol)
    assert carol.shows(one.log).state is LogState.OK


def test_a_recovered_store_that_nobody_knows_becomes_known_by_its_first_epoch() -> None:
    """Its own start needs only R others, and ends its silence."""
    one = follow(3, (Act.WITNESS_WIPE, 2), (Act.FOUNDED, 2), founding=True, witness_wipes=1)
    assert not one.witness(2).replicator.agreement.witness.unknown


def test_who_was_reminded_is_silent_only_until_the_promised_epoch_has_come() -> None:
    """A later promise does not take back the receipts that were given since."""
    one = follow(
        2,
        (Act.CRASH, 0),
        (Act.WITNESS_WIPE, 1),
        (Act.PREPARE, 0),
        (Act.CAUGHT_UP, 1),
        (Act.PROMISE, 1),
        (Act.COMMIT, 0),
        (Act.FETCH, 1),
        (Act.CRASH, 0),
        (Act.PREPARE, 0),
        (Act.PROMISE, 1),
        crashes=2,
        witness_wipes=1,
    )
    assert one.witness(1).shows(one.log).state is LogState.OK


def test_an_amnesiac_does_not_answer_the_ballot_that_it_was_reminded_of() -> None:
    """It took over a ballot without an answer, and forgot again: it may have shown more than it holds."""
    one = follow(
        3,
        (Act.APPEND, 0),
        (Act.CRASH, 0),
        (Act.WITNESS_WIPE, 1),
        (Act.PREPARE, 0),
        (Act.CAUGHT_UP, 1),
        (Act.CUT, 1),
        events=1,
        crashes=1,
        witness_wipes=1,
        cuts=1,
    )
    bob = one.witness(1)
    ballot = one._ballot(one.author, 1)
    assert not [said for said in bob.told(one.log, say=[ballot]) if isinstance(said, Promise)]
    one.compare()


def test_a_late_ballot_is_not_answered_in_its_epoch() -> None:
    """It was taken over without an answer; by now its epoch has come, and an answer would be none."""
    one = follow(
        3,
        (Act.CRASH, 0),
        (Act.WITNESS_WIPE, 2),
        (Act.PREPARE, 0),
        (Act.CAUGHT_UP, 2),
        (Act.PROMISE, 1),
        (Act.PROMISE, 2),
        (Act.WITNESS_WIPE, 2),
        (Act.CAUGHT_UP, 2),
        crashes=1,
        witness_wipes=2,
    )
    late = one._ballot(one.author, 2)
    assert one.follow(next(step for step, _ in one.model.steps(one.state) if step.act is Act.COMMIT))
    assert one.follow(next(step for step, _ in one.model.steps(one.state) if (step.act, step.who) == (Act.FETCH, 2)))
    said = one.witness(2).told(one.log, say=[late])
    assert not [message for message in said if isinstance(message, Promise)]
    one.compare()


def test_who_was_reminded_of_a_ballot_can_show_it() -> None:
    """Dave takes over a ballot that comes to nothing. The next start gets a lower epoch, which he cannot follow."""
    one = follow(
        4,
        (Act.CRASH, 0),
        (Act.PREPARE, 0),
        (Act.PROMISE, 1),
        (Act.CRASH, 0),
        (Act.PREPARE, 0),
        (Act.REFUSE, 1),
        (Act.WITNESS_WIPE, 3),
        (Act.WITNESS_WIPE, 2),
        (Act.CAUGHT_UP, 3),
        (Act.CRASH, 0),
        (Act.CRASH, 0),
        crashes=4,
        witness_wipes=2,
    )
    dave = one.witness(3)
    assert dave.standings[one.log].promised == 2
    assert dave.standings[one.log].ballot


def test_a_ballot_of_an_earlier_start_ends_no_amnesia() -> None:
    """It came before the author's present start has asked; that asks for more than is taken over so."""
    one = follow(2, (Act.CRASH, 0), (Act.WITNESS_WIPE, 1), (Act.PREPARE, 0), crashes=2, witness_wipes=1)
    bob = one.witness(1)
    bob.told(one.log, say=[one._ballot(one.author, 1)])
    assert one.follow(next(step for step, _ in one.model.steps(one.state) if step.act is Act.CRASH))
    bob.told(one.log, one.author.shows(one.log))
    one.compare()
