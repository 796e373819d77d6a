"""One run in this process, for so much wall time and no more. Does I/O: sets a timer, and hears its signal."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from types import FrameType
from typing import Final

import trio

from hydra_sync.testing.places import places_in
from hydra_sync.testing.plan.scenario import Failure, Outcome, Scenario, Setup
from hydra_sync.testing.world.clock import nanoseconds
from hydra_sync.testing.world.scheduler import Policy

__all__ = ["run_within"]

TICK_S: Final = 0.01
GRACE_S: Final = 2.0  # for a moment in which the error does no harm, and then for the run to end


class _TimeIsOverError(BaseException):
    """Raised where the program is when its time is over; what catches every `Exception` lets it pass."""


def run_within(
    timeout_s: float, scenario: Scenario, seed: int, setup: Setup, *, record: bool = False, policy: Policy = "random"
) -> Outcome:
    """As ``scenario.run``, but after ``timeout_s`` the outcome is the failure TimedOut, with where the program was.

    It has no digest then: the next run is ended elsewhere.
    """
    ends_s = time.monotonic() + timeout_s
    places: list[str] = []

    def tick(_: int, frame: FrameType | None) -> None:
        # In the midst of trio or of a finalizer, the error would break the one and be ignored by the other.
        if trio.lowlevel.currently_ki_protected() and time.monotonic() < ends_s + GRACE_S:
            return
        signal.setitimer(signal.ITIMER_REAL, GRACE_S, GRACE_S)  # if somebody catches it, or goes on
        places.append(places_in(frame, run_within.__code__))
        raise _TimeIsOverError

    usual = signal.signal(signal.SIGALRM, tick)
    outcome = Outcome(scenario.name, seed, setup, digest="", steps=0, virtual_s=0.0)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, timeout_s, TICK_S)
            outcome = scenario.run(seed, setup, record=record, policy=policy)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except BaseException:
        if not places:
            raise
    finally:
        signal.signal(signal.SIGALRM, usual)
    if not places:
        return outcome
    where = f"; it was in {places[0]}" if places[0] else ""
    words = f"no answer within {timeout_s:g} s of wall time{where}"
    failure = Failure("TimedOut", words, nanoseconds(outcome.virtual_s))
    return replace(outcome, digest="", failure=failure)
