"""The store: every log on disk, durable before visible. Does I/O, through the disk seam only.

`open_store` is the door. Below it, from the bytes up: `scan` reads records and finds damage, `segment`
writes them, `index` remembers where they are, `opening` makes a log sound again after a crash, `log` is
one author's log, `author` appends to our own, one batch for all who wait.
"""

from __future__ import annotations

from hydra_sync.store.log import Log
from hydra_sync.store.manifest import Manifest
from hydra_sync.store.store import Store, create_store, open_store

__all__ = ["Log", "Manifest", "Store", "create_store", "open_store"]

from hydra_sync.store.author import Author
from hydra_sync.store.opening import Cut, OpeningReport
from hydra_sync.store.store import read_manifest, write_manifest
from hydra_sync.store.verify import Finding, VerifyReport, verify_log, verify_segment

__all__ = [
    "Author",
    "Cut",
    "Finding",
    "Log",
    "Manifest",
    "OpeningReport",
    "Store",
    "VerifyReport",
    "create_store",
    "open_store",
    "read_manifest",
    "verify_log",
    "verify_segment",
    "write_manifest",
]
