"""The history of a real hydra-node, out of the files it persisted: read, folded, and answered for.

From the bytes up: `lines` and `database` read files; `cbor`, `codecs`, `values_cbor` and `events_cbor` read the CBOR of
master; `records` understands one record of any release, and `parsing` makes `changes` of it; `layout` and `reading`
make one stream of a directory; `fold` makes four answers of a stream; `importing` does all of it, and `appending` takes
the records into a log of ours.
"""

from __future__ import annotations

from hydra_sync.importer.importing import Import, Imported, import_directory
from hydra_sync.importer.reading import open_directory
from hydra_sync.importer.records import Record
from hydra_sync.importer.sources import Position, Problem

__all__ = ["Import", "Imported", "Position", "Problem", "Record", "import_directory", "open_directory"]
