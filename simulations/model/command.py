"""``python -m simulations.model``: check the rules, or show that each is needed. Does I/O."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import click

from simulations.model.checker import Result, search
from simulations.model.necessary import LARGE, NEEDED, SMALL, Need
from simulations.model.properties import PROPERTIES
from simulations.model.protocol import Recovery
from simulations.model.rules import Rules
from simulations.model.states import Bounds, Budget, State, Step
from simulations.model.story import MEANINGS, tell

__all__ = ["main", "model"]

GUARANTEES: Final = tuple(name for name in PROPERTIES if name != "TWICE")
"""What users see. ``TWICE`` is how some of it breaks: where a rule is left out, it would end the search too early."""

PROGRESS_S: Final = 2.0  # often enough to see that it lives


@dataclass(frozen=True)
class Finding:
    """What one search found, and how long it took."""

    bounds: Bounds
    without: tuple[str, ...]
    result: Result[State, Step]
    seconds: float

    @property
    def verdict(self) -> str:
        """In a few words."""
        if self.result.broken:
            return f"{self.result.broken} after {len(self.result.trace)} steps"
        return "holds" if self.result.complete else "nothing found, NOT COMPLETE"

    def as_json(self) -> dict[str, object]:
        """For machines."""
        result = self.result
        return {
            "nodes": self.bounds.nodes,
            "bounds": describe(self.bounds),
            "without": list(self.without),
            "broken": result.broken,
            "complete": result.complete,
            "states": result.states,
            "transitions": result.transitions,
            "depth": result.depth,
            "seconds": round(self.seconds, 2),
            "story": list(tell(result.trace)),
        }


class BoundsType(click.ParamType[Budget]):
    """``events=2,wipes=1``."""

    name = "bounds"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Budget:
        """The budget, with what is not named at 0. Fails with the names there are."""
        counts: dict[str, int] = {"events": 0}
        for part in value.split(","):
            name, _, count = part.partition("=")
            if name not in Budget._fields or not count.isdecimal():
                self.fail(f"{part!r} is not NAME=COUNT; the names are {', '.join(Budget._fields)}", param, ctx)
            counts[name] = int(count)
        return Budget(**counts)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def model() -> None:
    """The rules of recovery as an executable model, searched state by state."""


@model.command(
    epilog="Example: python -m simulations.model check --nodes 3 --bounds events=2,wipes=1 --without amnesia"
)
@click.option("--nodes", type=click.IntRange(2, 9), help="Only networks of this size.")
@click.option("--bounds", "budget", type=BoundsType(), help="What may happen, as events=2,wipes=1.  [default: a suite]")
@click.option("--away", type=click.IntRange(min=0), default=0, help="So many never help a start again; needs --bounds.")
@click.option("--founding", is_flag=True, help="Begin with founding stores; needs --bounds.")
@click.option("--beyond", is_flag=True, help="Allow more losses at once than can be survived; needs --bounds.")
@click.option("--without", type=click.Choice(Rules.names()), multiple=True, help="Leave this rule out; repeatable.")
@click.option("--large", is_flag=True, help="The larger suite: minutes each.")
@click.option("--states-max", type=click.IntRange(min=1), default=5_000_000, show_default=True, help="Then give up.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each search.")
def check(
    nodes: int | None,
    budget: Budget | None,
    away: int,
    founding: bool,
    beyond: bool,
    without: tuple[str, ...],
    large: bool,
    states_max: int,
    as_json: bool,
) -> None:
    """Search for a run that breaks a guarantee. Exits with 1 if there is one, or a search was not complete."""
    if budget is not None:
        chosen = [_bounds(nodes or 3, budget, founding=founding, away=away, beyond=beyond)]
    elif away or founding or beyond:
        raise click.UsageError("--away, --founding and --beyond need --bounds")
    else:
        chosen = [bounds for bounds in (LARGE if large else SMALL) if nodes in (None, bounds.nodes)]
    sound = True
    for bounds in chosen:
        found = look(bounds, without, states_max=states_max)
        sound = sound and found.result.broken is None and found.result.complete
        if as_json:
            click.echo(json.dumps(found.as_json()))
        else:
            click.echo("\n".join(_report(found)))
    sys.exit(not sound)


@model.command()
@click.option("--rule", "rules", type=click.Choice(Rules.names()), multiple=True, help="Only this one; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each rule.")
def table(rules: tuple[str, ...], as_json: bool) -> None:
    """Show for each rule what breaks without it. Exits with 1 if that is not what is expected."""
    expected = True
    if not as_json:
        click.echo(f"{'without':<27} {'breaks':<6} {'steps':>5} {'states':>7}  {'bounds':<48} because")
    for rule in rules or Rules.names():
        need = NEEDED[rule]
        found = look(need.bounds, (rule,), states_max=5_000_000)
        expected = expected and found.result.broken == need.broken
        click.echo(
            json.dumps({"rule": rule, "why": need.why} | found.as_json()) if as_json else _row(rule, need, found)
        )
    sys.exit(not expected)


def look(bounds: Bounds, without: tuple[str, ...], *, states_max: int) -> Finding:
    """Search within the bounds, telling progress on stderr."""
    began = shown = time.monotonic()
    calls = 0

    def progress(states: int, depth: int) -> None:
        nonlocal calls, shown
        calls += 1
        if calls % 256 == 0 and (now := time.monotonic()) - shown > PROGRESS_S:
            shown = now
            click.echo(f"... {describe(bounds)}: {states:,} states, depth {depth}", err=True)

    recovery = Recovery(Rules().without(*without), bounds, GUARANTEES if without else tuple(PROPERTIES))
    result = search(recovery, possible=True, states_max=states_max, progress=progress)
    return Finding(bounds, without, result, time.monotonic() - began)


def describe(bounds: Bounds) -> str:
    """The bounds in one line."""
    budget = ",".join(f"{name}={count}" for name, count in bounds.budget._asdict().items() if count)
    extra = f" away={bounds.away}" if bounds.away else ""
    extra += "".join(f" {name}" for name in ("founding", "beyond") if getattr(bounds, name))
    return f"n={bounds.nodes} {budget or 'nothing'}{extra}"


def _bounds(nodes: int, budget: Budget, *, founding: bool, away: int, beyond: bool) -> Bounds:
    try:
        return Bounds(nodes, budget, founding=founding, away=away, beyond=beyond)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _report(found: Finding) -> Iterator[str]:
    result = found.result
    rules = f" without {', '.join(found.without)}" if found.without else ""
    yield (
        f"{describe(found.bounds)}{rules}: {found.verdict}"
        f" ({result.states:,} states, {result.transitions:,} steps, depth {result.depth}, {found.seconds:.1f} s)"
    )
    if result.broken:
        yield f"{result.broken}: {MEANINGS[result.broken]}"
        yield from tell(result.trace)


def _row(rule: str, need: Need, found: Finding) -> str:
    result = found.result
    steps = str(len(result.trace)) if result.broken else "-"
    bounds = describe(need.bounds)
    return f"{rule:<27} {result.broken or 'nothing':<6} {steps:>5} {result.states:>7}  {bounds:<48} {need.why}"


def main() -> None:
    """Run the command line and exit with its code."""
    model(prog_name="python -m simulations.model")
