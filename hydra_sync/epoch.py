"""How an epoch is granted: an author's ballot, the witnesses' signed answers, and the batch that begins it. No I/O.

Starting is recovering (design: 7). An author that starts signs a ballot; R other members each promise
it, and say how far they hold its log; the author takes over the longest of these logs, and the first
batch that it signs on top, of an epoch with the number of the ballot, carries their answers. Whoever
sees the batch can check that nothing which a majority held was left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hydra_sync import cose
from hydra_sync.batch import Batch
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.encoding import decode, encode
from hydra_sync.errors import FormatError
from hydra_sync.identity import MemberKey, NetworkId, SigningKey
from hydra_sync.limits import HASH_BYTES, KEY_BYTES, MEMBERS_MAX, START_ID_BYTES, STORE_ID_BYTES, UINT_MAX

__all__ = [
    "Answer",
    "Ballot",
    "Grant",
    "answers_needed",
    "check_epoch",
    "enough",
    "epoch_event",
    "is_epoch_batch",
    "is_epoch_event",
    "majority",
    "open_answer",
    "open_ballot",
    "order",
    "wanted",
]

VERSION: Final = 1
_MARK: Final = "hydra-sync epoch"
_EVENT_HEAD: Final = b"\x87" + encode(_MARK)  # an array of seven that begins with the mark


def majority(members: int) -> int:
    """q, how many members make a majority.

    >>> [majority(n) for n in (1, 2, 3, 4, 5)]
    [1, 2, 2, 3, 3]
    """
    return members // 2 + 1


def answers_needed(members: int) -> int:
    """R, how many *other* members meet every majority: n - q + 1.

    >>> [answers_needed(n) for n in (1, 2, 3, 4, 5)]
    [1, 1, 2, 2, 3]
    """
    return members - majority(members) + 1


def order(tip: Tip) -> tuple[int, int]:
    """What makes one tip of a log higher than another: the epoch first, then the length."""
    return tip.epoch, tip.next_seq


@dataclass(frozen=True, slots=True)
class Ballot:
    """An author asks for an epoch of its log.

    ``start`` is random and tells this start of its process from all others; ``store_id`` tells its store
    from one that was lost. A ``founding`` author says that it has never had an epoch.
    """

    number: int
    start: bytes
    store_id: bytes
    founding: bool = False

    def sign(self, key: SigningKey, network: NetworkId) -> bytes:
        """As it goes to the witnesses, through anybody's hands."""
        payload = encode((VERSION, self.number, self.start, self.store_id, self.founding))
        return cose.sign(key, _ballot_aad(network, key.member), payload)


def open_ballot(signed: bytes, network: NetworkId, log: MemberKey) -> Ballot:
    """The ballot that the author of ``log`` signed. Raises `FormatError` or `SignatureError`."""
    match decode(cose.open_signed(log, _ballot_aad(network, log), signed)):
        case (int(version), int(number), bytes(start), bytes(store_id), bool(founding)) if (
            _are_ints(version, number)
            and version == VERSION
            and 1 <= number <= UINT_MAX
            and len(start) == START_ID_BYTES
            and len(store_id) == STORE_ID_BYTES
        ):
            return Ballot(number, start, store_id, founding)
    raise FormatError("a ballot is not [1, number, start, store_id, founding]")


@dataclass(frozen=True, slots=True)
class Answer:
    """A witness's promise of a ballot, and how far it holds the log: what counts there as durable.

    The promise is to one start of the author, or an old answer on its way would serve a second start
    that comes to the same number. ``known`` says that the witness holds events of the log, or once
    promised an epoch of it to another store.
    """

    number: int
    start: bytes
    tip: Tip
    known: bool
    store_id: bytes

    def sign(self, key: SigningKey, network: NetworkId, log: MemberKey) -> bytes:
        """As it goes to the author, and into its epoch batch."""
        tip = (self.tip.epoch, self.tip.next_seq, self.tip.hash)
        payload = encode((VERSION, self.number, self.start, *tip, self.known, self.store_id))
        return cose.sign(key, _answer_aad(network, log), payload)


def open_answer(signed: bytes, network: NetworkId, log: MemberKey, witness: MemberKey) -> Answer:
    """What ``witness`` answered about ``log``. Raises `FormatError` or `SignatureError`."""
    match decode(cose.open_signed(witness, _answer_aad(network, log), signed)):
        case (
            int(version),
            int(number),
            bytes(start),
            int(epoch),
            int(next_seq),
            bytes(tip_hash),
            bool(known),
            bytes(store_id),
        ) if (
            _are_ints(version, number, epoch, next_seq)
            and version == VERSION
            and 1 <= number <= UINT_MAX
            and len(start) == START_ID_BYTES
            and 0 <= epoch < number
            and 0 <= next_seq <= UINT_MAX
            and len(tip_hash) == HASH_BYTES
            and len(store_id) == STORE_ID_BYTES
        ):
            return Answer(number, start, Tip(epoch, next_seq, tip_hash), known, store_id)
    raise FormatError(
        "an answer is not [1, ballot, start, epoch, next_seq, tip_hash, known, store_id] below its ballot"
    )


@dataclass(frozen=True, slots=True)
class Grant:
    """What an epoch batch says of itself, its signed answers by witness; see `check_epoch`."""

    number: int
    start: bytes
    founding: bool
    """The first epoch of a log, granted by all other members, none of whom knew anything of it."""
    answers: Mapping[MemberKey, bytes]
    without: tuple[MemberKey, ...] = ()
    """Members whose disks the operator gave up: so many answers fewer were waited for, by his word."""


def epoch_event(grant: Grant) -> bytes:
    """The one event of an epoch batch."""
    return encode(
        (
            _MARK,
            VERSION,
            grant.number,
            grant.start,
            grant.founding,
            tuple(sorted(grant.answers.items())),
            tuple(sorted(grant.without)),
        )
    )


def is_epoch_event(event: bytes) -> bool:
    """Whether an event is the log's own and none of its application's. No application can append such a one."""
    return event.startswith(_EVENT_HEAD)


def is_epoch_batch(batch: Batch) -> bool:
    """Whether this batch begins an epoch, as far as it says so itself."""
    # Nearly no batch does, and the first bytes tell.
    return batch.header.count == 1 and _EVENT_HEAD in batch.body_start() and is_epoch_event(batch.events()[0])


def check_epoch(
    batch: Batch, before: Tip, *, network: NetworkId, log: MemberKey, members: Sequence[MemberKey]
) -> Grant | None:
    """The grant of ``batch``, which follows ``before``, if it begins an epoch; None if it goes on in one.

    Raises `FormatError` or `SignatureError` where an epoch begins that nobody granted: too few answers,
    answers of another start, or a log that stops short of the longest that was answered (design: 7, 3).
    """
    begins = batch.header.epoch != before.epoch
    if not begins and not is_epoch_batch(batch):
        return None
    where = f"epoch {batch.header.epoch} at seq {batch.header.first_seq}"
    if not begins or not is_epoch_batch(batch):
        raise FormatError(f"{where} does not begin with an epoch batch, or one is in its middle")
    grant = _parse_event(batch.events()[0], members)
    if grant.number != batch.header.epoch:
        raise FormatError(f"{where} was granted as epoch {grant.number}")
    if log in grant.answers or not set(grant.answers) <= set(members):
        raise FormatError(f"{where} has an answer of its author, or of a stranger")
    answers = [open_answer(signed, network, log, witness) for witness, signed in grant.answers.items()]
    if any((answer.number, answer.start) != (grant.number, grant.start) for answer in answers):
        raise FormatError(f"{where} has an answer to another ballot, or to another start")
    needed = enough(grant.answers, members, founding=grant.founding, without=grant.without)
    if len(answers) < needed:
        raise FormatError(f"{where} has {len(answers)} answers, and needs {needed}")
    highest = max((answer.tip for answer in answers), key=order, default=EMPTY)
    if order(highest) > order(before) or (order(highest) == order(before) and highest.hash != before.hash):
        raise FormatError(f"{where} does not stand on the log up to seq {highest.next_seq} that was answered")
    if grant.founding and (before != EMPTY or any(answer.known for answer in answers)):
        raise FormatError(f"{where} says that it is the first of a log that was known before")
    return grant


def enough(
    answered: Iterable[MemberKey], members: Sequence[MemberKey], *, founding: bool, without: Sequence[MemberKey] = ()
) -> int:
    """How many answers an epoch needs; the operator's word takes the place of the rest.

    A start waits for more if it can: see `wanted`.
    """
    given_up = set(without) - set(answered)
    whole = len(members) - 1 if founding else answers_needed(len(members))
    return max(0, whole - len(given_up))


def wanted(
    answered: Iterable[MemberKey], members: Sequence[MemberKey], *, founding: bool, without: Sequence[MemberKey] = ()
) -> int:
    """How many answers a start waits for: of those who are not given up as many as of all, as far as there are so many.

    Whatever is stable, a majority held. If g of that are given up, all but g of the majority are left, among all but
    g of the others: so it takes as many answers as ever to hear one of them.
    """
    given_up = set(without) - set(answered)
    return min(enough((), members, founding=founding), len(members) - 1 - len(given_up))


def _parse_event(event: bytes, members: Sequence[MemberKey]) -> Grant:
    match decode(event):
        case (str(mark), int(version), int(number), bytes(start), bool(founding), tuple(answers), tuple(without)) if (
            mark == _MARK
            and _are_ints(version, number)
            and version == VERSION
            and 1 <= number <= UINT_MAX
            and len(start) == START_ID_BYTES
            and len(answers) <= MEMBERS_MAX
            and len(without) <= MEMBERS_MAX
        ):
            given_up = tuple(_key(member) for member in without)
            if sorted(set(given_up)) != list(given_up) or not set(given_up) <= set(members):
                raise FormatError("an epoch batch gives up members who are none, or out of order")
            return Grant(number, start, founding, _parse_answers(answers), given_up)
    raise FormatError("an epoch event is not [mark, 1, ballot, start, founding, answers, without]")


def _parse_answers(pairs: tuple[object, ...]) -> dict[MemberKey, bytes]:
    answers: dict[MemberKey, bytes] = {}
    for pair in pairs:
        match pair:
            case (bytes(witness), bytes(signed)):
                answers[_key(witness)] = signed
            case _:
                raise FormatError("an answer in an epoch batch is not [witness, signed]")
    if len(answers) != len(pairs) or sorted(answers) != list(answers):
        raise FormatError("the answers of an epoch batch are not in order, one of each witness")
    return answers


def _are_ints(*values: object) -> bool:
    """Whether none of them is a boolean: to Python those are integers, to CBOR they are not."""
    return all(type(value) is int for value in values)


def _key(value: object) -> MemberKey:
    if type(value) is not bytes or len(value) != KEY_BYTES:
        raise FormatError(f"a member's key has {KEY_BYTES} bytes")
    return MemberKey(value)


def _ballot_aad(network: NetworkId, log: MemberKey) -> bytes:
    return encode(("hydra-sync ballot", VERSION, network, log))


def _answer_aad(network: NetworkId, log: MemberKey) -> bytes:
    return encode(("hydra-sync answer", VERSION, network, log))
