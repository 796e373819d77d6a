"""One fetch that we asked for: what may arrive, and whether what arrives is true. No I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hydra_sync.batch import Batch, parse_batches
from hydra_sync.chain import DivergedError, Tip, verify_run
from hydra_sync.errors import FormatError, PeerError
from hydra_sync.identity import MemberKey, NetworkId
from hydra_sync.limits import CREDIT_BYTES, FRAME_BYTES_MAX, PROGRESS_BYTES, RUN_RECORDS_MAX, STALL_S
from hydra_sync.ranges import SeqRange
from hydra_sync.wire import Data, Fetch

__all__ = ["Asked", "Turn"]


@dataclass(frozen=True, slots=True)
class Turn:
    """A peer shows ``shown``, of a later epoch than our branch: if that is true, where to `Locate` their parting."""

    shown: Tip
    seq: int
    of_epoch: bool


@dataclass(slots=True)
class Asked:
    """A fetch under way. Credit counts down as data comes and up as it becomes durable here."""

    link: int
    request: int
    log: MemberKey
    next_seq: int
    stop: int | None
    prev_hash: bytes | None
    credit: int = CREDIT_BYTES
    waiting_since: float | None = None
    window_bytes: int = 0
    """What arrived since the clock runs: too little is no progress, however often it comes."""
    unreturned: int = 0
    probes: bool = False
    """Whether this asks for what the peer holds where it differs from ours, for the proof."""
    turn: Turn | None = None
    """Of a probe that asks for a record of the epoch which the peer shows: what follows if there is one."""
    cancelled: bool = False

    @property
    def live(self) -> bool:
        """Whether this fetch follows the log instead of ending somewhere."""
        return self.stop is None

    @property
    def missing(self) -> SeqRange | None:
        """What is still to come of a bounded fetch."""
        if self.stop is None or self.next_seq >= self.stop:
            return None
        return SeqRange(self.next_seq, self.stop)

    def message(self) -> Fetch:
        """The message that starts this fetch."""
        return Fetch(self.request, self.log, self.next_seq, self.stop, self.prev_hash, self.credit)

    def receive(self, data: Data, network: NetworkId) -> tuple[Batch, ...]:
        """The authentic batches in ``data``, by one signature check.

        Raises `PeerError` if the sender sent what nobody asked for or nobody signed, and
        `DivergedError` if the author did sign it, on another history than ours.
        """
        self.spend(len(data.records))
        try:
            batches = tuple(parse_batches(data.records))
            if len(batches) > RUN_RECORDS_MAX:
                raise PeerError(f"{len(batches)} records at once; at most {RUN_RECORDS_MAX} can be held against others")
            self._check_place(batches)
            verify_run(batches, network, self.log)
        except FormatError as error:
            raise PeerError(f"data of log {self.log.hex()[:8]} is not authentic: {error}") from error
        first = batches[0].header
        if self.prev_hash is not None and first.prev_hash != self.prev_hash:
            raise DivergedError(f"the batch of {first.range} stands on another batch than ours before it")
        self.next_seq, self.prev_hash = batches[-1].header.stop, batches[-1].hash
        self.window_bytes += len(data.records)
        if self.window_bytes >= PROGRESS_BYTES:
            self._stop_clock()
        return batches

    def spend(self, size: int) -> None:
        """Count data that arrived. Raises `PeerError` if there was no credit for it."""
        if size > self.credit:
            raise PeerError(f"{size:,} bytes of data with {self.credit:,} bytes of credit left")
        self.credit -= size

    def durable(self, size: int) -> int:
        """Count ``size`` bytes as consumed; the credit to return now, 0 to save it for later.

        Returned in quarters of the window, so that what is left always fits the largest frame.
        """
        self.unreturned += size
        if self.unreturned < CREDIT_BYTES // 4:
            return 0
        returned, self.unreturned = self.unreturned, 0
        self.credit += returned
        return returned

    def watch(self, shown: int, now: float) -> None:
        """Start or stop the clock: it runs while the source shows events that it does not send, and may."""
        due = self.next_seq < (shown if self.stop is None else self.stop)
        if not due or self.credit < FRAME_BYTES_MAX:
            self._stop_clock()
        elif self.waiting_since is None:
            self.waiting_since = now

    def progress(self, now: float) -> None:
        """Data is arriving that has not come to the end of its frame: the clock starts again."""
        if self.waiting_since is not None:
            self.waiting_since, self.window_bytes = now, 0

    def _stop_clock(self) -> None:
        self.waiting_since, self.window_bytes = None, 0

    @property
    def deadline(self) -> float:
        """When this fetch counts as stalled unless something arrives."""
        return math.inf if self.waiting_since is None else self.waiting_since + STALL_S

    def _check_place(self, batches: tuple[Batch, ...]) -> None:
        if not batches:
            raise PeerError("Data without records")
        first = batches[0].header
        fits = first.first_seq == self.next_seq if self.prev_hash is not None else self.next_seq in first.range
        if not fits or (self.stop is not None and first.first_seq >= self.stop):
            raise PeerError(f"events {first.range} where {self.next_seq} was asked for")
