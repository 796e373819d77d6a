"""The store: every log on disk, durable before visible. Does I/O, through the disk seam only.

`open_store` is the door. Below it, from the bytes up: `scan` reads records and finds damage, `segment`
writes them, `index` remembers where they are, `opening` makes a log sound again after a crash, `log` is
one author's log, `author` and `replica` share syncs among their callers.
"""

from hydra_sync.store.log import Log
from hydra_sync.store.manifest import Manifest
from hydra_sync.store.store import Store, create_store, open_store

__all__ = ["Log", "Manifest", "Store", "create_store", "open_store"]
