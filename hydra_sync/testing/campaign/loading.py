"""Finds scenarios by name, ``package.module:scenario``, for command lines and other processes. Imports modules."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeGuard

from hydra_sync.errors import UsageError
from hydra_sync.testing.plan.scenario import Scenario

__all__ = ["find_scenario", "find_scenarios"]


def find_scenarios(spec: str) -> dict[str, Scenario]:
    """The scenarios that ``MODULE:SCENARIO`` names, or all of ``MODULE``, by the full names that find them again.

    SCENARIO is the ``name`` of a scenario, or a variable that holds one or several. The working
    directory is searched first. Raises `UsageError` if there is none.
    """
    module_name, _, wanted = spec.partition(":")
    found = _in_module(module_name)
    if not found:
        raise UsageError(
            f"{module_name} has no scenarios: an async function becomes one by @simulate or @simulate_world "
            "of hydra_sync.testing"
        )
    if not wanted:
        chosen = found
    elif wanted in found:
        chosen = {wanted: found[wanted]}
    else:
        chosen = _named(getattr(sys.modules[module_name], wanted, None))
    if not chosen:
        raise UsageError(f"there is no scenario {wanted!r} in {module_name}: name one of {', '.join(found)}")
    return {f"{module_name}:{name}": scenario for name, scenario in chosen.items()}


def find_scenario(spec: str) -> Scenario:
    """The one scenario that ``MODULE:SCENARIO`` names. Raises `UsageError` if there is none, or more than one."""
    found = find_scenarios(spec)
    if len(found) > 1:
        raise UsageError(f"{spec} has several scenarios, choose one: {', '.join(found)}")
    return next(iter(found.values()))


def _in_module(name: str) -> dict[str, Scenario]:
    """All scenarios that a module's variables hold, by their own names."""
    if name.endswith(".py") or "/" in name:
        dotted = str(Path(name).with_suffix("")).replace("/", ".")
        raise UsageError(f"{name} is a file: write the module's name, such as {dotted}")
    here = str(Path.cwd())
    if here not in sys.path:  # `python -m` searches the working directory, installed commands do not
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise UsageError(f"{name} cannot be imported: {error}") from error
        raise UsageError(f"there is no module {name}, seen from {here}") from error
    except (Exception, SystemExit) as error:  # whatever a module of somebody else's does when it is imported
        raise UsageError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
    found: dict[str, Scenario] = {}
    for value in vars(module).values():
        found |= _named(value)
    return found


def _named(value: object) -> dict[str, Scenario]:
    """The scenarios in a variable, which may be one, a mapping or a list."""
    values: Iterable[object] = (value,)
    if isinstance(value, Mapping):
        values = value.values()
    elif isinstance(value, list | tuple):
        values = value
    return {item.name: item for item in values if _is_scenario(item)}


def _is_scenario(value: object) -> TypeGuard[Scenario]:
    if isinstance(value, type):
        return False
    has_methods = all(callable(getattr(value, name, None)) for name in ("draw", "run"))
    return has_methods and isinstance(getattr(value, "name", None), str)
