"""An author that may fork its log, for the tests about forks: batches on top of any batch, signed or not."""

from __future__ import annotations

from collections.abc import Sequence

from hydra_sync.batch import Batch, parse_batch, seal_batch
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.identity import NetworkId, SigningKey, network_id

ALICE, BOB = SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32)
NETWORK = network_id("golden", [ALICE.member, BOB.member])
OTHER_NETWORK = network_id("other", [ALICE.member, BOB.member])


def sealed(
    tip: Tip = EMPTY,
    count: int = 1,
    *,
    epoch: int = 0,
    salt: int = 0,
    key: SigningKey = ALICE,
    network: NetworkId = NETWORK,
    signed: bool = True,
) -> Batch:
    """The batch of ``count`` events that stands on ``tip``; another salt makes another batch."""
    batch = seal_batch(
        key,
        network,
        [bytes([salt, number]) for number in range(count)],
        epoch=epoch,
        first_seq=tip.next_seq,
        time_us=1_700_000_000_000_000 + salt,
        prev_hash=tip.hash,
    )
    return batch if signed else spoiled(batch)


def spoiled(batch: Batch) -> Batch:
    """The same batch with a signature that does not hold."""
    end = 4 + batch.cose_size
    return parse_batch(batch.record[: end - 64] + bytes(64) + batch.record[end:])


def grown(
    tip: Tip, counts: Sequence[int], *, epoch: int = 0, salt: int = 0, sign_every: int = 1, key: SigningKey = ALICE
) -> list[Batch]:
    """A chain on ``tip``; every ``sign_every``-th batch carries a signature, the last one too."""
    batches: list[Batch] = []
    for number, count in enumerate(counts, 1):
        signed = number % sign_every == 0 or number == len(counts)
        batches.append(sealed(tip, count, epoch=epoch, salt=salt, key=key, signed=signed))
        tip = Tip.after(batches[-1])
    return batches


def coses(*batches: Batch) -> tuple[bytes, ...]:
    """Their headers, as a proof holds them."""
    return tuple(batch.cose for batch in batches)
