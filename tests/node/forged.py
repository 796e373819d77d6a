"""Logs made by hand, as no honest author would: written straight into a store's files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from hydra_sync import Config
from hydra_sync.batch import Batch, parse_batch, seal_batch
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.encoding import encode_event


def make_chain(
    config: Config,
    count: int,
    *,
    signed: Callable[[int], bool] = lambda _: True,
    after: Tip = EMPTY,
    word: str = "event",
) -> list[Batch]:
    """``count`` batches of one event each, chained; those that ``signed`` refuses carry a broken signature."""
    batches: list[Batch] = []
    tip, network = after, config.network_id
    for index in range(count):
        batch = seal_batch(
            config.key,
            network,
            [encode_event([word, tip.next_seq])],
            epoch=0,
            first_seq=tip.next_seq,
            time_us=1_700_000_000_000_000 + tip.next_seq,
            prev_hash=tip.hash,
        )
        if not signed(index):
            batch = break_signature(batch)
        batches.append(batch)
        tip = Tip.after(batch)
    return batches


def break_signature(batch: Batch) -> Batch:
    """The same batch with one bit of its signature turned."""
    record = bytearray(batch.record)
    record[4 + batch.cose_size - 1] ^= 1
    return parse_batch(bytes(record))


def write_log(directory: Path, author: bytes, batches: Sequence[Batch]) -> None:
    """Make ``batches`` the log of ``author`` in the store in ``directory``."""
    log = directory / "logs" / author.hex()
    log.mkdir(parents=True, exist_ok=True)
    (log / f"{batches[0].header.first_seq:020}.log").write_bytes(b"".join(batch.record for batch in batches))
