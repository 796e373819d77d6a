"""Layer 1 and a head's machine: what is observed becomes its input, what it decides to post is posted. Does I/O.

An observation is recorded with its point, so that a restart goes on behind the last one. A post is in the state
until layer 1 has answered it: whoever starts again sees what is still to be posted, and a chain takes it once.

Nothing is posted before all was observed that is on layer 1 already: what was decided before a restart may have
been answered since. An old Init would open a second head, which nobody wants.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

import trio

from hydra_sync.head.commands import Point
from hydra_sync.head.events import PostTx
from hydra_sync.head.state import State
from hydra_sync.machine import MachineError, RejectedError
from hydra_sync.mainchain.dev_chain import Line
from hydra_sync.runtime import Runtime

__all__ = ["Mainchain", "PolledChain", "drive"]


class Mainchain(Protocol):
    """Layer 1."""

    async def post(self, post: PostTx) -> str | None:
        """Submit a transaction; why it was refused, if it was."""

    async def after(self, point: Point) -> Sequence[Line]:
        """What happened after ``point``, in order, at least one thing: waits until there is one."""

    async def known(self, point: Point) -> Sequence[Line]:
        """What has happened after ``point`` so far, in order; nothing if nothing has."""


class PolledChain(ABC):
    """A layer 1 that tells nobody when something happens: it is asked again and again."""

    poll_s: ClassVar[float]

    @abstractmethod
    async def known(self, point: Point) -> Sequence[Line]:
        """As `Mainchain.known`."""

    async def after(self, point: Point) -> Sequence[Line]:
        """As `Mainchain.after`."""
        while not (lines := await self.known(point)):  # noqa: ASYNC110  there is no event for it
            await trio.sleep(self.poll_s)
        return lines


def _ignore(_: str) -> None:
    pass


async def drive(runtime: Runtime[State], chain: Mainchain, *, tell: Callable[[str], None] = _ignore) -> None:
    """Keep a head and layer 1 together, until cancelled; ``tell`` is given what was refused, and why.

    Raises `UsageError` where the chain is another one than the head has followed so far.
    """
    async with trio.open_nursery() as nursery:
        caught_up = trio.Event()
        nursery.start_soon(_observe, runtime, chain, tell, caught_up)
        nursery.start_soon(_post, runtime, chain, tell, caught_up)


async def _observe(
    runtime: Runtime[State], chain: Mainchain, tell: Callable[[str], None], caught_up: trio.Event
) -> None:
    point = runtime.state.point
    while True:
        lines = await chain.known(point)
        if not lines:
            caught_up.set()
            lines = await chain.after(point)
        for line in lines:
            point = line.point
            try:
                await runtime.submit(line.content)
            except RejectedError as error:
                tell(f"{line.fact[0]} of slot {line.point.slot} was passed over: {error}")
            except MachineError:
                caught_up.set()
                return


async def _post(runtime: Runtime[State], chain: Mainchain, tell: Callable[[str], None], caught_up: trio.Event) -> None:
    await caught_up.wait()
    done: tuple[PostTx, ...] = ()
    while runtime.failure is None:
        posts = runtime.state.posts
        done = tuple(post for post in done if post in posts)
        fresh = [post for post in posts if post not in done]
        if not fresh:
            await runtime.changed.wait()
            continue
        # What leaves this node is stable: no crash may take back the decision to post.
        await runtime.node.wait_stable(runtime.node.status().me.log.tip.next_seq - 1)
        for post in fresh:
            if post not in runtime.state.posts:
                continue  # layer 1 has moved meanwhile
            why = await chain.post(post)
            if why is not None:
                tell(f"layer 1 refused {post.kind}: {why}")
            done = (*done, post)
