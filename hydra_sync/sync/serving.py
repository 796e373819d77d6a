"""One fetch that we serve: what to read next, what to send, when it ends. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hydra_sync.batch import Batch
from hydra_sync.chain import signed_prefix
from hydra_sync.errors import PeerError
from hydra_sync.identity import NetworkId
from hydra_sync.limits import CREDIT_BYTES_MAX, DATA_BYTES_TARGET, RECORD_BYTES_MAX, RUN_RECORDS_MAX
from hydra_sync.sync.effects import Explain, Read
from hydra_sync.wire import Credit, Data, End, EndReason, Fetch, LogTip

__all__ = ["Serving"]


@dataclass(slots=True)
class Serving:
    """A peer's fetch. At most one read is under way; nothing is sent beyond the peer's credit."""

    link: int
    fetch: Fetch
    next_seq: int
    prev_hash: bytes | None
    credit: int
    reading: bool = False
    bytes_needed: int = 1  # the next run is known to be at least this large
    bytes_read: int = DATA_BYTES_TARGET

    @classmethod
    def of(cls, link: int, fetch: Fetch) -> Serving:
        """Begin to serve ``fetch``."""
        return cls(link, fetch, fetch.start, fetch.prev_hash, fetch.credit)

    def grant(self, credit: Credit) -> None:
        """Take more credit. Raises `PeerError` when the peer grants without bounds."""
        self.credit += credit.credit
        if self.credit > CREDIT_BYTES_MAX:
            raise PeerError(f"a fetch was granted {self.credit:,} bytes; at most {CREDIT_BYTES_MAX:,} make sense")

    def step(self, held: LogTip, forked_at: int | None = None) -> Read | Explain | End | None:
        """What to do next, given what we hold of the log durably; None is to wait.

        What a forked author signed is supplied up to where its histories part.
        """
        if self.reading:
            return None
        stop = self.fetch.stop
        if stop is not None and self.next_seq >= stop:
            return self._end(EndReason.DONE)
        if forked_at is not None and self.next_seq >= forked_at:
            return self._end(EndReason.FORKED)
        if self.next_seq < held.first_seq:
            return self._end(EndReason.PRUNED, held.first_seq)
        if self.next_seq == held.tip.next_seq:
            if self.prev_hash not in (None, held.tip.hash):
                return self._diverged(held.tip.next_seq)
            return None if stop is None else self._end(EndReason.UNAVAILABLE)
        if not held.holds(self.next_seq):
            return self._end(EndReason.UNAVAILABLE)
        if self.credit < self.bytes_needed:
            return None
        self.reading = True
        # A run that must grow to reach a signed record may have to reach beyond what was asked for.
        open_end = stop is None or self.bytes_read > DATA_BYTES_TARGET
        stop = held.tip.next_seq if open_end or stop is None else min(stop, held.tip.next_seq)
        bytes_max = min(self.credit, max(self.bytes_read, self.bytes_needed))
        return Read(self.link, self.fetch.request, self.fetch.log, self.next_seq, stop, bytes_max)

    def read(self, batches: Sequence[Batch], network: NetworkId, *, own: bool) -> Data | Explain | End | None:
        """What to send of the batches that were read; none means that they are damaged here.

        A run ends only where the record's own signature was checked, once a run; every record of
        our own log is signed. None means that the run must be read again, larger, or waits for credit.
        """
        self.reading = False
        if not batches:
            return self._end(EndReason.UNAVAILABLE)
        first = batches[0].header
        if self.prev_hash is not None and (first.first_seq, first.prev_hash) != (self.next_seq, self.prev_hash):
            return self._diverged(self.next_seq)
        batches = batches[:RUN_RECORDS_MAX]
        run = batches if own else signed_prefix(batches, network, self.fetch.log)
        if not run:
            if self.bytes_read >= RECORD_BYTES_MAX:
                return self._end(EndReason.UNAVAILABLE)
            self.bytes_read = self.bytes_needed = RECORD_BYTES_MAX
            return None
        size = sum(len(batch.record) for batch in run)
        if size > self.credit:
            self.bytes_needed = size
            return None
        self.credit -= size
        self.bytes_needed, self.bytes_read = 1, DATA_BYTES_TARGET
        self.next_seq, self.prev_hash = run[-1].header.stop, run[-1].hash
        return Data(self.fetch.request, b"".join(batch.record for batch in run))

    def _diverged(self, seq: int) -> Explain:
        """The peer stands on another branch: it is told where it may part from ours, once that is found out."""
        self.reading = True
        return Explain(self.link, self.fetch.request, self.fetch.log, seq)

    def _end(self, reason: EndReason, detail: int = 0) -> End:
        return End(self.fetch.request, self.next_seq, reason, detail)
