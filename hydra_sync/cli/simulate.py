"""``hydra-sync simulate``: run anyone's simulated scenario, for one seed or for many. Does I/O."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from hydra_sync.cli.campaigning import SEEDS, Single, run_many, run_one
from hydra_sync.cli.options import TIME_S_MAX, FiniteRange, json_option
from hydra_sync.errors import UsageError
from hydra_sync.testing.campaign.campaign import CHECK_EVERY, TIMEOUT_S, Campaign
from hydra_sync.testing.campaign.loading import find_scenarios
from hydra_sync.testing.campaign.shrink import SECONDS_MAX
from hydra_sync.testing.world.scheduler import Policy

__all__ = ["campaign_options", "simulate", "single_options", "take_campaign", "take_single", "timeout_option"]

DIRECTORY: Final = Path("simulation-results")

Command = TypeVar("Command", bound=Callable[..., Any])

_FILE: Final = click.Path(path_type=Path, dir_okay=False)

timeout_option: Final = click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=FiniteRange(0, TIME_S_MAX, min_open=True),
    help=f"Wall time that one seed may take.  [default: {TIMEOUT_S:g} in a campaign, any for one seed]",
)
"""For single runs and campaigns alike, `take_single` and `take_campaign`."""

_SINGLE: Final = (
    click.option("--setup", "setup_file", metavar="FILE.json", type=_FILE, help="Run this setup, and not the seed's."),
    click.option("--fifo", is_flag=True, help="Let tasks run in the order in which they were ready."),
    click.option("--record", "trace_file", metavar="FILE", type=_FILE, help="Write the trace, as JSON lines."),
    click.option("--html", "html_file", metavar="FILE", type=_FILE, help="Write a space-time diagram for a browser."),
    click.option("--perfetto", "perfetto_file", metavar="FILE", type=_FILE, help="Write it for ui.perfetto.dev."),
    click.option(
        "--shiviz", "shiviz_file", metavar="FILE", type=_FILE, help="Write it for ShiViz, with vector clocks."
    ),
    click.option("--shrink", "shrink_to", metavar="FILE.json", type=_FILE, help="Write the smallest setup that fails."),
)

_FILES: Final = ("setup_file", "trace_file", "html_file", "perfetto_file", "shiviz_file", "shrink_to")

_CAMPAIGN: Final = (
    click.option("--jobs", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Processes; one a core."),
    click.option(
        "--out",
        "directory",
        metavar="DIR",
        type=click.Path(path_type=Path, file_okay=False),
        default=DIRECTORY,
        show_default=True,
        help="Where results.jsonl is, and goes on, and what is written about failing seeds.",
    ),
    click.option(
        "--check-every",
        type=click.IntRange(min=0),
        default=CHECK_EVERY,
        show_default=True,
        help="Run one seed in so many again, with another hash seed and allocator; 0 for none.",
    ),
    click.option("--no-shrink", is_flag=True, help="Do not look for smaller runs that fail."),
    click.option(
        "--shrink-time",
        "shrink_s_max",
        metavar="SECONDS",
        type=FiniteRange(0, TIME_S_MAX),
        default=SECONDS_MAX,
        show_default=True,
        help="Wall time for shrinking one seed.",
    ),
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="A Dask scheduler (tcp://...), or `local` for a cluster of --jobs workers.",
    ),
    click.option("--strict", is_flag=True, help="Fail if a signal was never hit, or any kind of fault had no effect."),
)


def single_options(command: Command) -> Command:
    """Add the options of a single run, for `take_single`."""
    for option in reversed(_SINGLE):
        command = option(command)
    return command


def campaign_options(command: Command) -> Command:
    """Add the options of a campaign, for `take_campaign`."""
    for option in reversed(_CAMPAIGN):
        command = option(command)
    return command


def take_single(scenario: str, seed: int, options: dict[str, Any]) -> Single:
    """The run that the options describe."""
    files = {name: options[name] for name in _FILES}
    policy: Policy = "fifo" if options["fifo"] else "random"
    return Single(scenario, seed, policy=policy, timeout_s=options["timeout_s"], **files)


def take_campaign(scenarios: tuple[str, ...], seeds: range, options: dict[str, Any]) -> Campaign:
    """The campaign that the options describe."""
    return Campaign(
        scenarios,
        seeds,
        options["directory"] / "results.jsonl",
        jobs=options["jobs"],
        timeout_s=TIMEOUT_S if options["timeout_s"] is None else options["timeout_s"],
        check_every=options["check_every"],
        scheduler=options["scheduler"],
        strict=options["strict"],
    )


@click.command(
    epilog="Examples: hydra-sync simulate my.package.scenarios --seeds 0:200. "
    "One failing seed: hydra-sync simulate my.package.scenarios:elections --seed 17 --record trace.jsonl"
)
@click.argument("scenario", metavar="MODULE[:SCENARIO]")
@click.option("--seed", type=click.IntRange(min=0), help="Run this seed.  [default: 0]")
@click.option("--seeds", type=SEEDS, help="Run a campaign: these seeds, on all cores.")
@timeout_option
@single_options
@campaign_options
@json_option("what came of it")
def simulate(scenario: str, seed: int | None, seeds: range | None, as_json: bool, **options: Any) -> None:
    """Run a simulated scenario: a whole network in one process, replayed from its seed.

    SCENARIO is the name of a scenario in MODULE (see hydra_sync.testing), or a variable there; a campaign
    runs all that are found. Exits with 1 if one fails: the same command with the seed that failed, printed,
    does it again.
    """
    if seeds is None:
        sys.exit(run_one(take_single(scenario, seed or 0, options), _replay, as_json=as_json))
    if seed is not None or any(options[name] for name in (*_FILES, "fifo")):
        raise UsageError("--seed, --setup, --fifo, --shrink and all that record are for one run: leave --seeds out")
    campaign = take_campaign(tuple(find_scenarios(scenario)), seeds, options)
    with_shrinking, shrink_s_max = not options["no_shrink"], options["shrink_s_max"]
    code = run_many(campaign, _replay, with_shrinking=with_shrinking, shrink_s_max=shrink_s_max, as_json=as_json)
    sys.exit(code)


def _replay(scenario: str, seed: int) -> list[str]:
    return ["hydra-sync", "simulate", scenario, "--seed", str(seed)]
