"""The store: every log on disk, durable before visible. Does I/O, through the disk seam only.

    <dir>/store.toml                                    whose store this is (`manifest`)
    <dir>/LOCK                                          who has it open
    <dir>/logs/<author hex>/<20-digit first seq>.log    segments (`segment`, `scan`)
    <dir>/logs/<author hex>/<20-digit first seq>.idx    where their records are; a cache (`index`)
    <dir>/logs/<author hex>/standing.cbor               what the node owes others about the log (`standing`)
    <dir>/logs/<author hex>/cut.cbor                    only while the end of the log is taken out (`cutting`)
    <dir>/quarantine/                                   what was taken out, and why (`quarantine`, `remaking`)
    <dir>/checkpoint.cbor                               where the network before this one ended (`checkpoints`)
    <dir>/forks/<author hex>.cbor                       the proof that its author signed two histories (`proofs`)

`open_store` is the door. Below it, from the bytes up: `scan` reads records and finds damage, `segment`
writes them, `index` remembers where they are, `opening` makes a log sound again after a crash, `view`
is what can be seen of one author's log, `log` changes it, `author` appends to our own, one batch for
all who wait.
"""

from __future__ import annotations

from hydra_sync.standing import Standing
from hydra_sync.store.author import Author
from hydra_sync.store.checkpoints import first_event, position_of, read_checkpoint_file
from hydra_sync.store.directory import create_store, read_manifest, write_manifest
from hydra_sync.store.log import Log
from hydra_sync.store.manifest import Manifest
from hydra_sync.store.opening import Cut, OpeningReport
from hydra_sync.store.proofs import fork_positions, own_log_forked, read_proofs
from hydra_sync.store.remaking import give_up, move_aside, move_log_aside, remake_store
from hydra_sync.store.standing_file import read_standing, write_standing
from hydra_sync.store.store import Store, open_store
from hydra_sync.store.verify import Finding, VerifyReport, verify_log, verify_segment

__all__ = [
    "Author",
    "Cut",
    "Finding",
    "Log",
    "Manifest",
    "OpeningReport",
    "Standing",
    "Store",
    "VerifyReport",
    "create_store",
    "first_event",
    "fork_positions",
    "give_up",
    "move_aside",
    "move_log_aside",
    "open_store",
    "own_log_forked",
    "position_of",
    "read_checkpoint_file",
    "read_manifest",
    "read_proofs",
    "read_standing",
    "remake_store",
    "verify_log",
    "verify_segment",
    "write_manifest",
    "write_standing",
]
