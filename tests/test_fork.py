"""Proofs of forks: what an equivocating author cannot deny, and that nobody else is ever blamed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync.batch import Batch, Header, parse_signed_header
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.encoding import encode
from hydra_sync.errors import FormatError, NewerFormatError, SignatureError
from hydra_sync.fork import ForkKind, ForkProof, ForkVerdict, decode_proof, encode_proof, prove
from hydra_sync.identity import MemberKey, NetworkId
from hydra_sync.limits import COSE_BYTES_MAX, EVIDENCE_BYTES_MAX, FORK_HEADERS_MAX
from tests.forking import ALICE, BOB, NETWORK, OTHER_NETWORK, coses, grown, sealed, spoiled

GOLDEN = Path(__file__).parent / "fixtures" / "format-1"
GOLDEN_HASHES = {
    "fork-epoch.cbor": "743367b5e0295e3c0a8c1a8ca177bac8ff3d7cba811a3384454b3374ef4e2042",
    "fork-seq.cbor": "c917f2421394c9802fa523bd1058470354eb77df48cf90f768e58d79d8458a74",
}

ROOT = grown(EMPTY, [2, 1, 3])  # [0, 2) [2, 3) [3, 6), of epoch 0
TRUNK = Tip.after(ROOT[-1])
LEFT, RIGHT = grown(TRUNK, [1, 1], salt=1), grown(TRUNK, [1, 1], salt=2)


def proof(left: Sequence[Batch], right: Sequence[Batch], log: MemberKey = ALICE.member) -> ForkProof:
    return ForkProof(log, coses(*left), coses(*right))


def verdict(left: Sequence[Batch], right: Sequence[Batch]) -> ForkVerdict:
    return proof(left, right).verify(NETWORK)


def proven(ours: Sequence[Batch], theirs: Sequence[Batch]) -> ForkProof:
    """The proof of two runs: it holds, and is the same one the other way round."""
    found = prove(NETWORK, ALICE.member, ours, theirs)
    assert found is not None
    assert prove(NETWORK, ALICE.member, theirs, ours) == found
    found.verify(NETWORK)
    return found


def refuse(made: ForkProof, network: NetworkId = NETWORK, error: type[FormatError] = FormatError) -> None:
    """It proves nothing, whichever branch is called the left one."""
    for attempt in (made, ForkProof(made.log, made.right, made.left)):
        with pytest.raises(error):
            attempt.verify(network)


# What is a proof


def test_two_headers_of_one_epoch_at_one_seq() -> None:
    """One header each is enough; the verdict says who, where and what."""
    said = verdict(LEFT[:1], RIGHT[:1])
    assert (said.log, said.kind, said.epoch, said.seq) == (ALICE.member, ForkKind.SEQ, 0, 6)
    assert (said.left, said.right) == (LEFT[0].signed_header, RIGHT[0].signed_header)
    assert said.left.hash != said.right.hash


def test_ranges_that_overlap_in_one_seq_conflict() -> None:
    """They need not begin together; the verdict's seq is the first that both cover."""
    other = sealed(Tip(0, 4, b"\x07" * 32), 5, salt=3)
    assert verdict([ROOT[2]], [other]).seq == 4
    assert verdict([other], [ROOT[2]]).seq == 4


@pytest.mark.parametrize("first", [0, 2, 5, 6])
def test_ranges_that_only_touch_do_not_conflict(first: int) -> None:
    """[3, 6) against what ends at 3 or begins at 6 is a history like another; against what covers 5 it is a fork."""
    count = 3 - first if first < 3 else 2
    made = proof([ROOT[2]], [sealed(Tip(0, first, b"\x07" * 32), count, salt=3)])
    if first == 5:
        assert made.verify(NETWORK).seq == 5
    else:
        refuse(made)


def test_one_content_signed_over_two_histories_is_a_fork() -> None:
    """Same events, same place, same time, but another batch before: the headers differ."""
    left = sealed(Tip(0, 7, b"\x01" * 32))
    right = sealed(Tip(0, 7, b"\x02" * 32))
    assert verdict([left], [right]).seq == 7


def test_an_unsigned_header_counts_through_the_chain_to_a_signature() -> None:
    """An author who signs only some of its records answers for the others."""
    left, right = grown(TRUNK, [1] * 10, salt=1, sign_every=10), grown(TRUNK, [2] * 10, salt=2, sign_every=10)
    said = verdict(left, right)
    assert (said.seq, said.left.hash, said.right.hash) == (6, left[0].hash, right[0].hash)
    refuse(proof(left[:-1], right), error=SignatureError)
    assert verdict(left[3:], right).seq == 9


def test_one_header_under_two_signatures_is_a_fork_if_the_author_stands_by_both() -> None:
    """A batch's hash covers its signature: who builds on a spoiled one and on the true one has two histories."""
    true = sealed(TRUNK, salt=1)
    bad = spoiled(true)
    assert verdict([true], [bad, sealed(Tip.after(bad), salt=1)]).seq == 6


def test_two_first_batches_of_one_epoch_are_a_fork_at_any_distance() -> None:
    """An epoch is granted to one start, and has one first batch. The branches differ from the earlier one on."""
    left = [ROOT[0], sealed(Tip.after(ROOT[0]), epoch=7, salt=1)]
    right = [ROOT[2], sealed(Tip.after(ROOT[2]), epoch=7, salt=2)]
    for said in (verdict(left, right), verdict(right, left)):
        assert (said.kind, said.epoch, said.seq) == (ForkKind.EPOCH, 7, 2)
        assert {said.left.hash, said.right.hash} == {left[1].hash, right[1].hash}


def test_a_log_may_begin_in_two_ways_in_one_epoch() -> None:
    """What begins at seq 0 needs no header before it to show that an epoch begins there."""
    founding = sealed(EMPTY, epoch=7, salt=1)
    later = [ROOT[2], sealed(TRUNK, epoch=7, salt=2)]
    assert verdict([founding], later).kind is ForkKind.EPOCH
    assert verdict(later, [founding]).seq == 0


def test_two_epoch_batches_may_be_proven_by_later_signatures() -> None:
    """The first batch of an epoch, and the one before it, count through the chain too."""
    left = [ROOT[0], *grown(Tip.after(ROOT[0]), [1, 1], epoch=7, salt=1, sign_every=2)]
    right = [spoiled(ROOT[2]), *grown(Tip.after(spoiled(ROOT[2])), [1, 1], epoch=7, salt=2, sign_every=2)]
    assert verdict(left, right).kind is ForkKind.EPOCH


def test_the_lowest_conflict_is_the_verdict() -> None:
    """Of all conflicts that the branches show, seqs and epochs alike."""
    left = [*LEFT, sealed(Tip.after(LEFT[1]), epoch=3, salt=1)]
    right = [*RIGHT, sealed(Tip.after(RIGHT[1]), epoch=3, salt=2)]
    assert verdict(left, right).seq == 6
    assert verdict(left[1:], right[1:]).seq == 7
    said = verdict(left[1:], [ROOT[2], sealed(TRUNK, epoch=3, salt=3)])
    assert (said.kind, said.seq, said.epoch) == (ForkKind.EPOCH, 6, 3)
    early = [ROOT[1], *grown(Tip.after(ROOT[1]), [1] * 5, epoch=3, salt=4)]
    late = [ROOT[2], *grown(TRUNK, [1, 1], epoch=3, salt=5)]
    assert verdict(early, late).seq == 3
    assert verdict(early[1:], late[1:]).seq == 6
    assert proven([*ROOT, *late[1:]], [*ROOT[:2], *early[1:]]).verify(NETWORK).seq == 3


def test_one_place_for_two_epoch_batches_is_called_a_conflict_of_seqs() -> None:
    """Where both kinds are true the plainer one is told."""
    left, right = sealed(TRUNK, epoch=3, salt=1), sealed(TRUNK, epoch=3, salt=2)
    assert verdict([ROOT[2], left], [ROOT[2], right]).kind is ForkKind.SEQ


def test_a_proof_of_the_largest_size_holds() -> None:
    """Branches of `FORK_HEADERS_MAX` headers; one more is refused."""
    left, right = (grown(EMPTY, [1] * (FORK_HEADERS_MAX + 1), salt=salt) for salt in (1, 2))
    assert verdict(left[:-1], right[:-1]).seq == 0
    refuse(proof(left, right[:-1]))


# What is no proof


def honest() -> dict[str, list[Batch]]:
    """The branches of a correct author that came back twice and lost unstable batches both times."""
    zero = grown(EMPTY, [2, 1, 3, 1, 1])  # stops 2, 3, 6, 7, 8
    four = grown(Tip.after(zero[2]), [1, 2, 2, 1], epoch=4)  # stops 7, 9, 11, 12
    nine = grown(Tip.after(four[1]), [1, 1, 4], epoch=9)
    return {"zero": zero, "four": [*zero[:3], *four], "nine": [*zero[:3], *four[:2], *nine]}


HONEST = honest()


def attacks() -> dict[str, ForkProof]:
    """What somebody without the author's key could put together."""
    zero, four, nine = HONEST["zero"], HONEST["four"], HONEST["nine"]
    last = zero[4]
    bobs = sealed(Tip.after(zero[3]), salt=9, key=BOB)
    resigned = parse_signed_header(zero[3].cose[:-64] + zero[2].cose[-64:])
    foreign = sealed(network=OTHER_NETWORK, salt=1), sealed(network=OTHER_NETWORK, salt=2)
    changed = replace(last.header, time_us=1)
    forged = last.cose.replace(last.header.encode(), changed.encode())
    above = sealed(Tip(0, 7, resigned.hash), salt=9, key=BOB)
    return {
        "nothing": proof([], []),
        "one branch": proof(zero, []),
        "the same branch twice": proof(zero, zero),
        "one header twice": proof([last], [last]),
        "a part of the other": proof(zero, zero[:3]),
        "the end of the other": proof(zero, zero[3:]),
        "two parts that overlap": proof(zero[:4], zero[2:]),
        "two parts apart": proof(zero[:2], zero[3:]),
        "epochs that differ at one seq": proof(zero[3:], four[3:]),
        "whole branches of two epochs": proof(zero, four),
        "whole branches of three epochs": proof(four, nine),
        "first batches of two epochs": proof(four[2:4], nine[4:6]),
        "epochs that share a seq through a later one": proof(zero[2:], nine[2:]),
        "a later batch as the first of its epoch": proof(four[2:4], four[4:6]),
        "the middle of an epoch after another's end": proof(four[2:4], [zero[3], *four[4:6]]),
        "the middle of an epoch after its trunk": proof(four[2:4], [zero[2], *four[4:6]]),
        "a later batch of an epoch alone": proof(four[2:4], [four[4]]),
        "a header left out": proof(four[2:4], [four[2], *four[4:6]]),
        "a header repeated": proof([*zero[:3], zero[2]], zero[2:]),
        "headers the wrong way round": proof(zero[::-1], zero),
        "another's header on top": proof([zero[3], bobs], zero[3:]),
        "another's header alone": proof([bobs], [last]),
        "another's log": proof([bobs], [last], BOB.member),
        "the author's headers as another's": proof(LEFT, RIGHT, BOB.member),
        "headers of another network": proof(foreign[:1], foreign[1:]),
        "a spoiled signature": proof([spoiled(last)], [last]),
        "a spoiled signature below the next header": proof([spoiled(zero[3]), last], zero[3:]),
        "the signature of another header": ForkProof(ALICE.member, (resigned.cose,), coses(zero[3])),
        "another's header on a spoiled one": ForkProof(ALICE.member, (resigned.cose, above.cose), coses(*zero[3:])),
        "a changed header": ForkProof(ALICE.member, (forged,), coses(last)),
        "a record for a header": ForkProof(ALICE.member, (last.record,), coses(last)),
        "a payload for a header": ForkProof(ALICE.member, (last.header.encode(),), coses(last)),
        "an empty header": ForkProof(ALICE.member, (b"",), coses(last)),
        "a header too large": ForkProof(ALICE.member, (last.cose + bytes(COSE_BYTES_MAX),), coses(last)),
        "no key": replace(proof(LEFT, RIGHT), log=MemberKey(b"")),
        "the key of nobody": replace(proof(LEFT, RIGHT), log=MemberKey(bytes(32))),
    }


@pytest.mark.parametrize("attack", attacks())
def test_what_can_be_put_together_from_a_correct_log_is_no_proof(attack: str) -> None:
    """Nor is it the other way round."""
    refuse(attacks()[attack])


def test_a_proof_is_of_one_network() -> None:
    """In another one the signatures mean nothing."""
    refuse(proof(LEFT, RIGHT), OTHER_NETWORK, SignatureError)
    both = [sealed(network=OTHER_NETWORK, salt=salt) for salt in (1, 2)]
    assert proof(both[:1], both[1:]).verify(OTHER_NETWORK).seq == 0
    refuse(proof([sealed(salt=1)], both[1:]), error=SignatureError)


def test_both_branches_must_be_signed() -> None:
    """One true signature blames nobody."""
    refuse(proof([LEFT[0]], [spoiled(RIGHT[0])]), error=SignatureError)
    refuse(proof([LEFT[0]], [sealed(TRUNK, salt=2, key=BOB)]), error=SignatureError)


def test_a_branch_that_goes_back_in_epochs_is_no_chain() -> None:
    """No member takes such a header, so it can stand in nobody's way."""
    back = sealed(Tip(5, 6, sealed(Tip(5, 5, bytes(32)), epoch=5).hash), epoch=3)
    refuse(proof([sealed(Tip(5, 5, bytes(32)), epoch=5), back], [sealed(TRUNK, epoch=3, salt=2)]))


@st.composite
def honest_trees(draw: st.DrawFn) -> list[list[Batch]]:
    """The branches of a correct author: each epoch one chain, on any batch of the branch before it."""
    branch: list[Batch] = []
    branches = []
    epoch = draw(st.integers(0, 1))
    for salt in range(draw(st.integers(1, 4))):
        kept = branch[: draw(st.integers(0, len(branch)))]
        tip = Tip.after(kept[-1]) if kept else EMPTY
        counts = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
        branch = kept + grown(tip, counts, epoch=epoch, salt=salt)
        branches.append(branch)
        epoch += draw(st.integers(1, 2))
    return branches


@st.composite
def assembled(draw: st.DrawFn, branches: list[list[Batch]]) -> tuple[bytes, ...]:
    """A branch made from an honest author's headers, and those of somebody who means ill."""
    branch = draw(st.sampled_from(branches))
    start = draw(st.integers(0, len(branch) - 1))
    headers = list(coses(*branch[start : draw(st.integers(start + 1, len(branch)))]))
    everything = [batch.cose for one in branches for batch in one]
    for act in draw(st.lists(st.sampled_from(["swap", "insert", "drop", "change", "resign", "extend"]), max_size=2)):
        at = draw(st.integers(0, len(headers) - 1))
        other = draw(st.sampled_from(everything))
        if act == "swap":
            headers[at], headers[0] = headers[0], headers[at]
        elif act == "insert":
            headers.insert(at, other)
        elif act == "drop" and len(headers) > 1:
            del headers[at]
        elif act == "change":
            changed = bytearray(headers[at])
            changed[draw(st.integers(0, len(changed) - 1))] ^= draw(st.integers(1, 255))
            headers[at] = bytes(changed)
        elif act == "resign":
            headers[at] = headers[at][:-64] + other[-64:]
        elif act == "extend":
            try:
                last = parse_signed_header(headers[-1])
            except FormatError:
                continue
            epoch = last.header.epoch + draw(st.integers(0, 1))
            headers.append(sealed(Tip.after(last), epoch=epoch, key=BOB).cose)
    return tuple(headers)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_correct_author_is_ever_blamed(data: st.DataObject) -> None:
    """Whatever is selected, reordered, cut, changed or added to the headers of one correct log, it proves nothing."""
    branches = data.draw(honest_trees())
    left, right = data.draw(assembled(branches)), data.draw(assembled(branches))
    refuse(ForkProof(ALICE.member, left, right))
    for ours in branches:
        for theirs in branches:
            assert prove(NETWORK, ALICE.member, ours, theirs) is None


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_change_of_a_proof_blames_for_something_else(data: st.DataObject) -> None:
    """A valid proof with any byte changed is no proof any more."""
    left, right = grown(TRUNK, [1, 2], salt=1, sign_every=2), grown(TRUNK, [2], salt=2)
    whole = encode_proof(NETWORK, proof(left, right))
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        network, made = decode_proof(bytes(changed))
    except FormatError:
        return
    refuse(made, network)


# Proving


def test_a_proof_is_no_larger_than_it_must_be() -> None:
    """Of two long runs that part, it takes the two headers at which they part."""
    ours = [*ROOT, *grown(TRUNK, [1] * 20, salt=1)]
    theirs = [*ROOT, *grown(TRUNK, [3] * 20, salt=2)]
    made = proven(ours, theirs)
    assert sorted((made.left, made.right)) == sorted((coses(ours[3]), coses(theirs[3])))


def test_a_proof_reaches_to_the_next_signature_and_no_further() -> None:
    """On each branch by itself."""
    ours, theirs = grown(EMPTY, [1] * 20, salt=1, sign_every=4), grown(EMPTY, [1] * 20, salt=2, sign_every=7)
    made = proven(ours, theirs)
    assert {made.left, made.right} == {coses(*ours[:4]), coses(*theirs[:7])}
    assert made.verify(NETWORK).seq == 0
    assert proven(ours, theirs[3:]).verify(NETWORK).seq == 3


def test_runs_need_not_begin_together() -> None:
    """What the other one sent may begin later than where ours begins, or inside a batch of ours."""
    ours = [*ROOT, *grown(TRUNK, [4, 4], salt=1)]
    theirs = grown(TRUNK, [1, 1, 1, 1], salt=2)
    assert proven(ours, theirs).verify(NETWORK).seq == 6
    assert proven(ours, theirs[2:]).verify(NETWORK).seq == 8


def test_two_epoch_batches_are_proven_with_what_they_stand_on() -> None:
    """Two headers each; one at the start of a log."""
    ours = [*ROOT, *grown(TRUNK, [1, 1], epoch=5, salt=1)]
    theirs = [*ROOT[:2], *grown(Tip.after(ROOT[1]), [1], epoch=5, salt=2)]
    made = proven(ours, theirs)
    assert {made.left, made.right} == {coses(*ours[2:4]), coses(*theirs[1:3])}
    said = made.verify(NETWORK)
    assert (said.kind, said.seq, said.epoch) == (ForkKind.EPOCH, 3, 5)
    founding = grown(EMPTY, [1], epoch=5, salt=3)
    made = proven(ours, founding)
    assert coses(*founding) in (made.left, made.right)


def test_an_epoch_batch_without_what_it_stands_on_shows_nothing() -> None:
    """A run that begins with it does not tell that the epoch begins there."""
    ours = [*ROOT, *grown(TRUNK, [1, 1], epoch=5, salt=1)]
    theirs = grown(Tip.after(ROOT[1]), [1], epoch=5, salt=2)
    assert prove(NETWORK, ALICE.member, ours, theirs) is None


@pytest.mark.parametrize("name", HONEST)
def test_no_proof_where_there_is_no_conflict_within_one_epoch(name: str) -> None:
    """Runs that agree, do not meet, or are of different epochs; or nothing at all."""
    for other in HONEST.values():
        assert prove(NETWORK, ALICE.member, HONEST[name], other) is None
    assert prove(NETWORK, ALICE.member, HONEST[name][:2], HONEST[name][2:]) is None
    assert prove(NETWORK, ALICE.member, HONEST[name], []) is None


def test_where_signatures_are_too_rare_the_next_conflict_is_proven() -> None:
    """The position is then higher than where the branches part, but it is proven; with no signature it is nothing."""
    ours = grown(EMPTY, [1] * (FORK_HEADERS_MAX + 10), salt=1, sign_every=FORK_HEADERS_MAX + 10)
    theirs = grown(EMPTY, [1] * (FORK_HEADERS_MAX + 10), salt=2)
    assert proven(ours, theirs).verify(NETWORK).seq == 10
    assert prove(NETWORK, ALICE.member, ours[:-1], theirs) is None


def test_a_proof_of_the_most_headers_is_made() -> None:
    """Exactly `FORK_HEADERS_MAX`, and what an epoch stands on counts among them."""
    long = grown(EMPTY, [1] * FORK_HEADERS_MAX, salt=1, sign_every=FORK_HEADERS_MAX)
    made = proven(long, grown(EMPTY, [1], salt=2))
    assert made.verify(NETWORK).seq == 0
    assert max(len(made.left), len(made.right)) == FORK_HEADERS_MAX
    other = [*ROOT[:2], sealed(Tip.after(ROOT[1]), epoch=5, salt=2)]
    for length in (FORK_HEADERS_MAX - 1, FORK_HEADERS_MAX):
        run = [*ROOT, *grown(TRUNK, [1] * length, epoch=5, salt=1, sign_every=length)]
        found = prove(NETWORK, ALICE.member, run, other)
        assert (found is not None) == (length < FORK_HEADERS_MAX)


@settings(max_examples=150, deadline=None)
@given(
    counts=st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=6), min_size=2, max_size=2),
    every=st.lists(st.integers(1, 4), min_size=2, max_size=2),
    shared=st.integers(0, 3),
    epochs=st.lists(st.integers(0, 2), min_size=2, max_size=2),
)
def test_every_fork_is_proven_at_the_lowest_seq_that_both_cover(
    counts: list[list[int]], every: list[int], shared: int, epochs: list[int]
) -> None:
    """Two runs that part within one epoch give a proof of where they part; in two epochs they give none."""
    trunk = ROOT[:shared]
    tip = Tip.after(trunk[-1]) if trunk else EMPTY
    runs = [
        [*trunk, *grown(tip, counts[side], epoch=epochs[side], salt=side + 1, sign_every=every[side])]
        for side in (0, 1)
    ]
    found = prove(NETWORK, ALICE.member, *runs)
    if epochs[0] != epochs[1]:
        assert found is None
    else:
        assert found is not None
        assert found.verify(NETWORK).seq == tip.next_seq
        for branch, run in ((b, r) for b in (found.left, found.right) for r in runs if b[0] == r[shared].cose):
            assert branch == coses(*run[shared : shared + len(branch)])
            assert len(branch) <= every[runs.index(run)]


# The file


def golden() -> dict[str, ForkProof]:
    """The proofs in the golden files, made anew."""
    spare = grown(TRUNK, [2, 1, 1], salt=2, sign_every=3)
    first = proven([*ROOT, *LEFT], [*ROOT, *spare])
    ours = [*ROOT, *grown(TRUNK, [1], epoch=7, salt=1)]
    theirs = [*ROOT[:2], *grown(Tip.after(ROOT[1]), [1, 1], epoch=7, salt=2, sign_every=2)]
    return {"fork-seq.cbor": first, "fork-epoch.cbor": proven(ours, theirs)}


def test_golden_proofs_never_change() -> None:
    """Version 1 is what these files say."""
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(GOLDEN.glob("fork-*"))}
    assert {name: found.get(name) for name in GOLDEN_HASHES} == GOLDEN_HASHES


@pytest.mark.parametrize("name", GOLDEN_HASHES)
def test_golden_proofs_are_written_and_read(name: str) -> None:
    """The same keys, events and times give the same bytes; the bytes give the same proof and verdict."""
    data = (GOLDEN / name).read_bytes()
    made = golden()[name]
    assert encode_proof(NETWORK, made) == data
    assert decode_proof(data) == (NETWORK, made)
    said = made.verify(NETWORK)
    expected = {"fork-seq.cbor": (ForkKind.SEQ, 0, 6), "fork-epoch.cbor": (ForkKind.EPOCH, 7, 3)}
    assert (said.kind, said.epoch, said.seq) == expected[name]


def test_the_file_form_is_as_designed() -> None:
    """A magic text, a version, the network, the log, and two arrays of headers."""
    made = proof(LEFT, RIGHT)
    fields = ["hydra-sync fork proof", 1, NETWORK, ALICE.member, list(made.left), list(made.right)]
    assert encode_proof(NETWORK, made) == encode(fields)
    assert decode_proof(encode(fields)) == (NETWORK, made)


GOOD = ["hydra-sync fork proof", 1, NETWORK, ALICE.member, [b"x"], [b"y"]]


@pytest.mark.parametrize(
    "fields",
    [
        [],
        GOOD[:1],
        GOOD[:5],
        [*GOOD, 0],
        ["hydra-sync fork", *GOOD[1:]],
        [GOOD[0], 0, *GOOD[2:]],
        [GOOD[0], True, *GOOD[2:]],
        [GOOD[0], "1", *GOOD[2:]],
        [*GOOD[:2], b"short", *GOOD[3:]],
        [*GOOD[:2], "text", *GOOD[3:]],
        [*GOOD[:3], b"short", *GOOD[4:]],
        [*GOOD[:3], 7, *GOOD[4:]],
        [*GOOD[:4], b"x", [b"y"]],
        [*GOOD[:4], ["x"], [b"y"]],
        [*GOOD[:5], [[b"y"]]],
        [*GOOD[:5], [b"y" * (COSE_BYTES_MAX + 1)]],
        [*GOOD[:5], [b"y"] * (FORK_HEADERS_MAX + 1)],
        {"magic": 1},
        "hydra-sync fork proof",
    ],
)
def test_another_file_is_no_proof(fields: object) -> None:
    """Wrong magic, version, number of fields, types and sizes."""
    with pytest.raises(FormatError):
        decode_proof(encode(fields))


def test_a_newer_version_says_so() -> None:
    """Whatever else it holds."""
    with pytest.raises(NewerFormatError):
        decode_proof(encode([GOOD[0], 2, {"new": 1}]))


def test_a_file_too_large_is_not_decoded() -> None:
    """Its size is enough to refuse it."""
    with pytest.raises(FormatError, match="at most"):
        decode_proof(bytes(EVIDENCE_BYTES_MAX + 1))


@settings(max_examples=300, deadline=None)
@given(
    data=st.binary(max_size=80)
    | st.tuples(st.integers(0, 700), st.binary(max_size=10), st.integers(0, 20)).map(
        lambda cut: (WHOLE := encode_proof(NETWORK, proof(LEFT, RIGHT)))[: cut[0]] + cut[1] + WHOLE[cut[0] + cut[2] :]
    )
    | st.tuples(st.binary(min_size=32, max_size=32), st.lists(st.binary(max_size=300), max_size=4)).map(
        lambda parts: encode([*GOOD[:2], parts[0], parts[0], parts[1], parts[1][::-1]])
    )
)
def test_any_bytes_are_a_proof_or_the_one_error(data: bytes) -> None:
    """Arbitrary bytes give the proof that encodes to them, or `FormatError`; and it verifies or raises that too."""
    try:
        network, made = decode_proof(data)
    except FormatError:
        return
    assert encode_proof(network, made) == data
    try:
        said = made.verify(network)
    except FormatError:
        return
    assert said.seq == TRUNK.next_seq


def test_headers_of_nothing_but_the_largest_numbers() -> None:
    """Proofs work at the end of the range of seqs and epochs."""
    top = (1 << 63) - 1
    left, right = (sealed(Tip(top, top - 1, bytes(32)), epoch=top, salt=salt) for salt in (1, 2))
    assert isinstance(left.header, Header)
    assert verdict([left], [right]).seq == top - 1
