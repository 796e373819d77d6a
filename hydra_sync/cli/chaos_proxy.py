"""``hydra-sync chaos-proxy``: a faulty network between real processes, in any language. Does I/O."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import click
import trio

from hydra_sync.cli.options import TIME_S_MAX, FiniteRange, json_option
from hydra_sync.config import Address
from hydra_sync.errors import UsageError
from hydra_sync.tasks import open_tasks
from hydra_sync.testing.chaos_proxy import CLEAR, ChaosProxy, Route, Trouble
from hydra_sync.testing.plan.faults import plan_from_json
from hydra_sync.testing.world.clock import MS, SECOND
from hydra_sync.testing.world.connections import WINDOW_BYTES
from hydra_sync.testing.world.links import Shape
from hydra_sync.testing.world.streams import MILLION
from hydra_sync.testing.world.trace import Row

__all__ = ["chaos_proxy"]

_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "listen": ("to", "address", "connect"),
    "open": ("to", "connection"),
    "close": ("to", "connection", "bytes_there", "bytes_back"),
    "reset": ("to", "connection", "bytes_there", "bytes_back"),
    "unreachable": ("to", "connection", "why"),
    "too_many": ("to", "connections_max"),
    "cannot_listen": ("address", "why"),
    "cut": ("to",),
    "heal": ("to",),
    "clog": ("to", "for_ns"),
    "reshape": ("to", "latency_ns", "jitter_ns", "bytes_per_s", "loss_ppm"),
    "fault": ("fault",),
}


@click.command(
    "chaos-proxy",
    epilog="Example: hydra-sync chaos-proxy --route 'a>b=127.0.0.1:9001->127.0.0.1:5001' --latency 50 --cut-every 10",
)
@click.option("--listen", metavar="HOST:PORT", multiple=True, help="Where to listen; repeat, with a --target for each.")
@click.option("--target", metavar="HOST:PORT", multiple=True, help="Where to connect whoever dials the --listen.")
@click.option(
    "--route", metavar="A>B=LISTEN->TARGET", multiple=True, help="Both, with names for plans to call them by; repeat."
)
@click.option(
    "--plan", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Faults and their times (JSON)."
)
@click.option("--latency", type=FiniteRange(0, TIME_S_MAX), default=0, metavar="MS", help="Of each link, one way.")
@click.option("--jitter", type=FiniteRange(0, TIME_S_MAX), default=0, metavar="MS", help="Up to so much more latency.")
@click.option(
    "--loss", type=FiniteRange(0, 1), default=0, metavar="P", help="Share of segments lost; TCP sends them again."
)
@click.option("--bandwidth", type=click.IntRange(min=1), metavar="B/S", help="Bytes a second, of each link.")
@click.option("--cut-every", type=FiniteRange(0, TIME_S_MAX), default=0, metavar="S", help="Cut some link so often.")
@click.option(
    "--cut-for", type=FiniteRange(0, TIME_S_MAX), default=1, show_default=True, metavar="S", help="For so long."
)
@click.option("--reset-every", type=FiniteRange(0, TIME_S_MAX), default=0, metavar="S", help="Reset all of a route.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of all chance: same seed, same faults.")
@click.option(
    "--window",
    type=click.IntRange(min=1024),
    default=WINDOW_BYTES,
    show_default=True,
    metavar="BYTES",
    help="Under way at most, one way.",
)
@click.option("--for", "for_s", type=FiniteRange(0, TIME_S_MAX), metavar="S", help="End after so long.")
@json_option("one line for each thing that happens")
def chaos_proxy(
    listen: tuple[str, ...],
    target: tuple[str, ...],
    route: tuple[str, ...],
    plan: Path | None,
    latency: float,
    jitter: float,
    loss: float,
    bandwidth: int | None,
    cut_every: float,
    cut_for: float,
    reset_every: float,
    seed: int,
    window: int,
    for_s: float | None,
    as_json: bool,
) -> None:
    """Pass TCP connections on, over links as bad as you like.

    The ends of a single --listen and --target are called client and server, of several client1, server1
    and so on. A plan is what simulations use: a JSON array of faults, such as

    \b
    [{"fault": "Cut", "when": {"At": {"time_ns": 5000000000}},
      "source": "client", "target": "server", "for_ns": 1000000000}]
    """
    shape = Shape(
        latency_ns=int(latency * MS),
        jitter_ns=int(jitter * MS),
        bytes_per_s=bandwidth or CLEAR.bytes_per_s,
        loss_ppm=int(loss * MILLION),
    )
    trouble = Trouble(int(cut_every * SECOND), int(cut_for * SECOND), int(reset_every * SECOND))
    proxy = ChaosProxy(
        [*_paired(listen, target), *map(Route.parse, route)],
        plan_from_json(plan.read_bytes()) if plan is not None else (),
        seed=seed,
        shape=shape,
        trouble=trouble,
        window_bytes=window,
        on_row=_print_json if as_json else _print_words,
    )
    try:
        trio.run(_run, proxy, for_s)
    finally:
        if as_json:
            click.echo(json.dumps({"kind": "effects", **proxy.effects}))
        else:
            effects = ", ".join(f"{name} {count}" for name, count in sorted(proxy.effects.items()))
            click.echo(f"effects: {effects or 'none'}")


async def _run(proxy: ChaosProxy, for_s: float | None) -> None:
    async with open_tasks() as nursery:
        nursery.start_soon(_until_signal, nursery.cancel_scope)
        with trio.move_on_after(float("inf") if for_s is None else for_s):
            await proxy.run()
        nursery.cancel_scope.cancel()


async def _until_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


def _paired(listen: Sequence[str], target: Sequence[str]) -> list[Route]:
    if len(listen) != len(target):
        raise UsageError(f"{len(listen)} times --listen and {len(target)} times --target: each needs the other")
    numbers = [""] if len(listen) == 1 else [str(number) for number in range(1, len(listen) + 1)]
    return [
        Route(f"client{number}", f"server{number}", Address.parse(here), Address.parse(there))
        for number, here, there in zip(numbers, listen, target, strict=True)
    ]


def _named(row: Row) -> dict[str, str | int]:
    names = _FIELDS.get(row.kind, ())
    return dict(zip(names, row.data, strict=False))


def _print_json(row: Row) -> None:
    start = {"time_s": row.time_ns / SECOND, "kind": row.kind, "from": row.host}
    click.echo(json.dumps(start | _named(row)))


def _print_words(row: Row) -> None:
    values = _named(row)
    link = f"{row.host}>{values.pop('to')} " if "to" in values else ""
    words = " ".join(f"{name}={value}" for name, value in values.items())
    click.echo(f"{row.time_ns / SECOND:10.3f}  {row.kind:<8} {link}{words}")
