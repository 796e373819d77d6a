"""What a node knows of forked logs is the same on every node that has seen the same proofs."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync import batch as batch_module
from hydra_sync.batch import Batch
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.errors import PeerError
from hydra_sync.fork import ForkProof
from hydra_sync.identity import SigningKey
from hydra_sync.sync.forks import Forks
from tests.forking import ALICE, BOB, NETWORK, OTHER_NETWORK, coses, grown, sealed, spoiled

MEMBERS = (ALICE.member, BOB.member)


def proof(left: list[Batch], right: list[Batch], key: SigningKey = ALICE) -> ForkProof:
    return ForkProof(key.member, coses(*left), coses(*right))


def proofs() -> list[ForkProof]:
    """Valid proofs of two logs: several seqs, epochs, sizes, kinds, and either way round."""
    found = []
    for key in (ALICE, BOB):
        trunk = grown(EMPTY, [1] * 6, key=key)
        for stop, epoch in ((4, 0), (4, 5), (6, 0), (6, 5)):
            tip = Tip.after(trunk[stop - 1])
            one, two, three = (grown(tip, [1, 1], epoch=epoch, salt=salt, key=key) for salt in (1, 2, 3))
            found += [proof(one[:1], two[:1], key), proof(two[:1], one[:1], key), proof(one[:1], three[:1], key)]
            found += [proof(one, two[:1], key), proof([*trunk[3:stop], *one], two[:1], key), proof(one, two, key)]
        early, late = (
            [trunk[at], *grown(Tip.after(trunk[at]), [1], epoch=5, salt=salt, key=key)] for at, salt in ((1, 1), (3, 2))
        )
        found += [proof(early, late, key)]
    return found


PROOFS = proofs()


def knowing(*learned: ForkProof) -> Forks:
    forks = Forks(NETWORK, MEMBERS)
    for each in learned:
        forks.learn(each)
    return forks


def test_nothing_is_known_at_first() -> None:
    """No log is forked until it is proven."""
    forks = knowing()
    assert forks.known == {}
    assert forks.position(ALICE.member) is None
    assert forks.verdict(ALICE.member) is None


def test_a_proof_is_learned_once() -> None:
    """The first time it is to be stored and told; then it is known."""
    forks = knowing()
    assert forks.learn(PROOFS[0])
    assert not forks.learn(PROOFS[0])
    assert forks.known == {ALICE.member: PROOFS[0]}
    assert forks.position(ALICE.member) == 4
    assert forks.verdict(ALICE.member) == PROOFS[0].verify(NETWORK)
    assert forks.position(BOB.member) is None


def test_a_known_proof_costs_no_signature_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every member tells it once more."""
    forks = knowing(PROOFS[0])

    def fail(*_: object) -> None:
        raise AssertionError("a signature was checked")

    monkeypatch.setattr(batch_module, "verify", fail)
    assert not forks.learn(PROOFS[0])


def test_what_is_known_cannot_be_changed_from_outside() -> None:
    """`known` is to look at."""
    with pytest.raises(TypeError):
        knowing(PROOFS[0]).known[ALICE.member] = PROOFS[1]  # type: ignore[index]


def test_the_same_proof_with_more_headers_changes_nothing() -> None:
    """Whoever pads a proof, before or behind, makes nobody store or tell it again."""
    trunk = grown(EMPTY, [1])
    for salt in range(2, 12):  # whichever bytes are less
        one, two = (grown(Tip.after(trunk[0]), [1], salt=number) for number in (1, salt))
        assert not knowing(proof(one, two)).learn(proof([*trunk, *one], two))
        assert not knowing(proof(one, two)).learn(proof(one, [*trunk, *two]))
    one, two = grown(EMPTY, [1, 1], salt=1), grown(EMPTY, [1, 1], salt=2)
    forks = knowing(proof(one[:1], two[:1]))
    assert not forks.learn(proof(one, two))
    forks = knowing(proof(one, two))
    assert forks.learn(proof(one[:1], two[:1]))


@settings(max_examples=150, deadline=None)
@given(order=st.lists(st.sampled_from(PROOFS), max_size=8), data=st.data())
def test_the_order_of_proofs_does_not_matter(order: list[ForkProof], data: st.DataObject) -> None:
    """Any order, with repetitions: the same proofs and positions in the end, and every change was a fall."""
    forks = knowing()
    for each in order:
        before, held = forks.position(each.log), forks.known.get(each.log)
        changed = forks.learn(each)
        after = forks.position(each.log)
        assert changed == (forks.known.get(each.log) != held)
        assert after is not None
        assert before is None or after <= before
    other = knowing(*data.draw(st.permutations(order)))
    assert other.known == forks.known
    assert list(other.known) == sorted(other.known)
    for log in MEMBERS:
        lowest = min((each.verify(NETWORK).seq for each in order if each.log == log), default=None)
        assert forks.position(log) == other.position(log) == lowest


def test_of_any_two_proofs_one_is_kept() -> None:
    """Whichever comes first."""
    for one, two in itertools.combinations(PROOFS, 2):
        assert knowing(one, two).known == knowing(two, one).known


def test_nodes_that_tell_each_other_what_changed_agree() -> None:
    """Each begins with proofs of its own and passes on what was news to it: all end with the same, and fall silent."""
    nodes = [knowing() for _ in range(3)]
    talk = [(number % 3, each) for number, each in enumerate(PROOFS)]
    said = 0
    while talk:
        at, each = talk.pop(0)
        if nodes[at].learn(each):
            said += 1
            talk += [(other, each) for other in range(3) if other != at]
    assert nodes[0].known == nodes[1].known == nodes[2].known
    assert said <= 3 * len(PROOFS)


SAME = grown(EMPTY, [1, 1])


@pytest.mark.parametrize(
    "made",
    [
        proof([], []),
        proof(SAME, SAME),
        proof(SAME[:1], SAME[1:]),
        proof([sealed(salt=1)], [spoiled(sealed(salt=2))]),
        proof([sealed(salt=1)], [sealed(salt=2)], BOB),
        proof([sealed(salt=1, network=OTHER_NETWORK)], [sealed(salt=2, network=OTHER_NETWORK)]),
        ForkProof(ALICE.member, (b"",), (b"x",)),
    ],
    ids=["empty", "one branch", "one chain", "a bad signature", "another's", "another network", "garbage"],
)
def test_what_proves_nothing_is_the_peers_fault(made: ForkProof) -> None:
    """The peer that sent it is to blame; what is known stays, also where something is."""
    for forks in (knowing(), knowing(PROOFS[0])):
        before = dict(forks.known)
        with pytest.raises(PeerError):
            forks.learn(made)
        assert forks.known == before


def test_strangers_have_no_logs_to_fork() -> None:
    """A valid proof for a key of one's own making fills nobody's memory."""
    stranger = SigningKey(b"\x03" * 32)
    made = proof([sealed(salt=1, key=stranger)], [sealed(salt=2, key=stranger)], stranger)
    made.verify(NETWORK)
    with pytest.raises(PeerError, match="no member"):
        knowing().learn(made)
