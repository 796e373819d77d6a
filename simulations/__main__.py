"""``python -m simulations``: our scenarios, one seed or many, and measurements. Does I/O."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Final

import click

from hydra_sync.cli.campaigning import SEEDS, run_many, run_one
from hydra_sync.cli.exits import EXIT_DISK, EXIT_INTERRUPTED, EXIT_USAGE
from hydra_sync.cli.options import json_option
from hydra_sync.cli.simulate import campaign_options, single_options, take_campaign, take_single, timeout_option
from hydra_sync.errors import UsageError
from hydra_sync.testing.campaign.loading import find_scenarios
from hydra_sync.testing.plan.scenario import Scenario
from simulations.measure import measure
from simulations.mutants import MUTANTS
from simulations.rules import RULES

__all__ = ["main"]

OURS: Final = ("simulations.scenarios", "simulations.agreement", "simulations.machines", "simulations.heads")
_MUTANTS: Final = {
    **{name: f"simulations.mutants:{mutant.name}" for name, mutant in MUTANTS.items()},
    **{name: f"simulations.rules:{mutant.name}" for name, mutant in RULES.items()},
}

mutant_option = click.option(
    "--mutant",
    type=click.Choice(list(_MUTANTS)),
    metavar=f"[{'|'.join(MUTANTS)}|...]",
    help="Run a product that has a bug or lacks a rule, which an invariant must find in a scenario of its own.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def simulations() -> None:
    """Whole networks of hydra-sync nodes in one process, each replayed from one seed."""


@simulations.command("list")
def list_scenarios() -> None:
    """List the scenarios, and the bugs that --mutant plants."""
    for name, scenario in _all().items():
        first_line = (getattr(scenario, "__doc__", None) or "").strip().partition("\n")[0]
        click.echo(f"{name.rpartition(':')[2]:<36}{first_line}")
    for name, mutant in (*MUTANTS.items(), *RULES.items()):
        click.echo(f"{f'--mutant {name}':<36}{mutant.bug}")


@simulations.command(epilog="Example: python -m simulations run swarm --seed 17 --html run.html")
@click.argument("scenario", required=False)
@mutant_option
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Run this seed.")
@timeout_option
@single_options
@json_option("what came of it")
def run(scenario: str | None, mutant: str | None, seed: int, as_json: bool, **options: Any) -> None:
    """Run one seed of one of our SCENARIOs (see list). Exits with 1 if it fails."""
    (name,) = _chosen([scenario] if scenario else [], mutant)
    sys.exit(run_one(take_single(name, seed, options), _replay, as_json=as_json))


@simulations.command(epilog="Example: python -m simulations campaign --seeds 0:200 --jobs 2")
@click.option("--seeds", type=SEEDS, default="0:200", show_default=True, help="The seeds to run, of each scenario.")
@click.option("--scenario", "names", metavar="S", multiple=True, help="Only this one; repeat for each.  [default: all]")
@mutant_option
@timeout_option
@campaign_options
@json_option("what came of it")
def campaign(seeds: range, names: Sequence[str], mutant: str | None, as_json: bool, **options: Any) -> None:
    """Run many seeds on all cores, and go on where the last campaign on the same code ended.

    Exits with 1 if a seed fails, if a seed runs differently in another process, or if a kind of fault that
    the scenarios may draw was in no plan, or never had an effect, once there were enough runs to tell.
    Failing seeds are shrunk; setup, trace and diagram of each lie beside the results.
    """
    chosen_names = _chosen(names, mutant) if names or mutant else list(OURS)
    specs = [spec for name in chosen_names for spec in find_scenarios(name)]
    chosen = take_campaign(tuple(dict.fromkeys(specs)), seeds, options)
    with_shrinking, shrink_s_max = not options["no_shrink"], options["shrink_s_max"]
    sys.exit(run_many(chosen, _replay, with_shrinking=with_shrinking, shrink_s_max=shrink_s_max, as_json=as_json))


simulations.add_command(measure)


def _chosen(names: Sequence[str], mutant: str | None) -> list[str]:
    """The full names of our scenarios, or of a mutant's own."""
    if names and mutant:
        raise UsageError("name a scenario or a --mutant, not both: a mutant has a scenario of its own (see list)")
    if not names and not mutant:
        raise UsageError("name a scenario, or a --mutant, which has one of its own (see list)")
    return [_MUTANTS[mutant]] if mutant else list(map(_full, names))


def _all() -> dict[str, Scenario]:
    return {name: scenario for module in OURS for name, scenario in find_scenarios(module).items()}


def _full(name: str) -> str:
    if ":" in name or "." in name:
        return name
    full_names = {full.rpartition(":")[2]: full for full in _all()}
    if name not in full_names:
        near = get_close_matches(name, full_names, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(f"there is no scenario {name!r}: {hint}`python -m simulations list` has them all")
    return full_names[name]


def _replay(scenario: str, seed: int) -> list[str]:
    bug = next((name for name, full in _MUTANTS.items() if full == scenario), None)
    module, _, name = scenario.partition(":")
    what = ["--mutant", bug] if bug else [name if module in OURS else scenario]
    return ["python", "-m", "simulations", "run", *what, "--seed", str(seed)]


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        code = simulations(prog_name="python -m simulations", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = EXIT_USAGE
    except UsageError as error:
        click.echo(f"simulations: {error}", err=True)
        code = EXIT_USAGE
    except OSError as error:
        click.echo(f"simulations: {error.filename or 'disk'}: {error.strerror}", err=True)
        code = EXIT_DISK
    except (click.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()
