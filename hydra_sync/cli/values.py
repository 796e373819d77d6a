"""Event values as people and programs type and read them on a terminal. No I/O."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping
from typing import Final

import click

from hydra_sync.encoding import encode_event
from hydra_sync.errors import FormatError, UsageError
from hydra_sync.node import Event

SHOWN_MAX: Final = 60  # characters of a wrong value that its error repeats

__all__ = ["INPUT_FORMATS", "event_json", "event_line", "input_format_option", "parse_event", "time_text"]


def _short(text: str) -> str:
    return repr(text) if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]!r}... ({len(text)} characters)"


def _parse_json(text: str) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{_short(text)} is not JSON: {error}") from error
    return value


def _parse_hex(text: str) -> object:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise UsageError(f"{_short(text)} is not hexadecimal: {error}") from error


INPUT_FORMATS: Final[Mapping[str, Callable[[str], object]]] = {"text": str, "json": _parse_json, "hex": _parse_hex}

input_format_option = click.option(
    "--format",
    "input_format",
    type=click.Choice(list(INPUT_FORMATS)),
    default="text",
    show_default=True,
    help="What a value is: a text as it stands, JSON, or bytes in hexadecimal.",
)


def parse_event(text: str, input_format: str) -> bytes:
    """The event of the value that ``text`` stands for. Raises `UsageError`, which names it."""
    value = INPUT_FORMATS[input_format](text)
    try:
        return encode_event(value)
    except UsageError as error:
        raise UsageError(f"{_short(text)}: {error}") from error


def event_json(event: Event, alias: str) -> dict[str, object]:
    """An event for programs; ``value`` is null and ``cbor`` tells all where JSON has no form for it."""
    fields: dict[str, object] = {
        "log": alias,
        "epoch": event.epoch,
        "seq": event.seq,
        "time_us": event.time_us,
        "batch": event.batch_hash.hex(),
        "cbor": event.data.hex(),
    }
    try:
        value = event.value
        json.dumps(value, allow_nan=False)  # JSON knows no infinities
    except (FormatError, TypeError, ValueError):
        value = None
    return fields | {"value": value}


def event_line(event: Event) -> str:
    """An event for people, on one line."""
    return f"{event.seq:>8}  {time_text(event.time_us)}  {_shown(event)}"


def time_text(time_us: int) -> str:
    """A wall clock time for people, in UTC; any integer has one."""
    try:
        time = datetime.datetime.fromtimestamp(time_us / 1e6, datetime.UTC)
    except (ValueError, OverflowError, OSError):  # beyond the year 9999, or what the system's clock can tell
        return f"{time_us} us"
    return f"{time:%Y-%m-%d %H:%M:%S}"


def _shown(event: Event) -> str:
    try:
        value = event.value
    except FormatError:
        return f"(no CBOR) {event.data.hex()}"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str) and value.isprintable():
        return value
    try:
        return repr(value)
    except ValueError:  # an integer of more digits than Python writes out
        return f"(too large to show) {event.data.hex()}"
