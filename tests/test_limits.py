"""The limits fit one another beyond what they assert themselves."""

from __future__ import annotations

from hydra_sync import limits
from hydra_sync.batch import Header, body_size
from hydra_sync.chain import Tip
from hydra_sync.fork import ForkProof, encode_proof
from hydra_sync.identity import MemberKey, NetworkId
from hydra_sync.ranges import SeqRange
from hydra_sync.wire import Data, Fork, LogTip, Promise, Tips, encode_frame

UINT_MAX = limits.UINT_MAX


def test_the_largest_header_fits() -> None:
    """A header whose numbers all take nine bytes is no larger than `HEADER_BYTES_MAX`."""
    header = Header(UINT_MAX, UINT_MAX - 65536, 65536, UINT_MAX, bytes(32), bytes(32))
    assert len(header.encode()) <= limits.HEADER_BYTES_MAX


def test_the_largest_event_fits_a_body() -> None:
    """An event of `EVENT_BYTES_MAX` can be committed, alone in its batch."""
    assert body_size([bytes(limits.EVENT_BYTES_MAX)]) <= limits.BODY_BYTES_MAX


def test_the_largest_record_fits_a_frame() -> None:
    """One Data message carries the largest record that can be."""
    assert encode_frame(Data(UINT_MAX, bytes(limits.RECORD_BYTES_MAX)))


def test_the_tips_of_all_logs_fit_a_frame() -> None:
    """The largest network's full tips, holes and all, are one message: a damaged node can still greet."""
    holes = tuple(SeqRange(UINT_MAX - 1000 + 2 * n, UINT_MAX - 999 + 2 * n) for n in range(limits.HOLES_MAX))
    tip = LogTip(MemberKey(bytes(32)), Tip(UINT_MAX, UINT_MAX, bytes(32)), UINT_MAX - 2000, holes)
    size = len(encode_frame(Tips(True, (tip,)))) * limits.MEMBERS_MAX
    assert size <= limits.CONTROL_BYTES_MAX


def test_proofs_fit_a_frame() -> None:
    """A fork proof and a promise of the largest size go through."""
    headers = tuple(bytes(limits.COSE_BYTES_MAX) for _ in range(limits.FORK_HEADERS_MAX))
    assert len(encode_frame(Fork(MemberKey(bytes(32)), headers, headers))) <= limits.CONTROL_BYTES_MAX
    assert len(encode_proof(NetworkId(bytes(32)), ForkProof(MemberKey(bytes(32)), headers, headers))) <= (
        limits.EVIDENCE_BYTES_MAX
    )
    assert encode_frame(Promise(MemberKey(bytes(32)), MemberKey(bytes(32)), bytes(limits.COSE_BYTES_MAX)))


def test_memory_of_catching_up_is_bounded() -> None:
    """What may wait out of order on one node stays far below what a node may use."""
    assert limits.RANGES_PER_NODE * limits.CREDIT_BYTES <= 32 << 20
