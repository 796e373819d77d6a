"""A run as a picture: one HTML file that opens in any browser, with nothing to load. Writes a file.

Lanes are hosts, time flows down, arrows are messages, bands are what was broken at the time, and the
moment of failure is marked. Scenarios put the progress of logs into it by notes of the kind ``seq``:

>>> from hydra_sync.testing import World
>>> async def scenario(world: World) -> None:
...     world.note("seq", "alice", 3)  # in the code of a host: it now holds alice's log up to seq 3
>>> World(seed=1, record=True).run(scenario).rows
1
"""

from __future__ import annotations

from hydra_sync.testing.view.page import ROWS_MAX, html_page, write_html

__all__ = ["ROWS_MAX", "html_page", "write_html"]
