"""Promises kept by real processes that are killed: what was acknowledged is there, once, everywhere.

SIGKILL spares the page cache, so a sync that was left out would not be missed here by the files alone;
therefore every victim also checks, below the store, that what it shows and acknowledges was synced
before (`WatchedDisk`), and dies loudly if not.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import trio

from tests.crash.audit import audit
from tests.crash.campaign import Campaign
from tests.crash.phases import Phase

KILLS: Final = 25
KILLS_PER_PHASE_MIN: Final = 3
SEED: Final = int(os.environ.get("HYDRA_SYNC_CRASH_SEED", "25"))
LIMIT_S: Final = 300.0  # it takes a tenth of this


async def test_acknowledged_events_survive_25_kills_in_every_phase(tmp_path: Path) -> None:
    """Three nodes under load are killed 25 times, in encode, write, sync, acknowledge and catch-up: every
    acknowledged event is at its seq in all three stores, none is there twice, all records verify, and
    the logs have the same bytes everywhere."""
    campaign = Campaign(tmp_path, SEED)
    try:
        await campaign.prepare()
        with trio.fail_after(LIMIT_S):
            await campaign.kill(KILLS, KILLS_PER_PHASE_MIN)
    finally:
        campaign.close()
        print(campaign.table(), campaign.story(), sep="\n")
    victims = campaign.victims
    copies, wrong = await audit(
        {name: victim.config for name, victim in victims.items()},
        {name: victim.acknowledged for name, victim in victims.items()},
    )
    for name, victim in victims.items():
        events = len(next(copy.ids for copy in copies if copy.log == name))
        torn = len(list(victim.config.persistence_dir.glob("quarantine/*.bin")))
        print(
            f"{name}: {len(victim.acknowledged)} events acknowledged, {events} in the log, {victim.life} lives, "
            f"{torn} torn tails cut"
        )
    assert not wrong, "\n".join([*wrong[:20], f"kept in {tmp_path}", campaign.story()])
    assert campaign.hits.total() == KILLS
    assert all(campaign.hits[phase] >= KILLS_PER_PHASE_MIN for phase in Phase), campaign.table()
    assert all(victim.acknowledged for victim in victims.values())
