"""Every error this package raises, each saying whose fault it is. No I/O."""

from __future__ import annotations

__all__ = [
    "DeliveryError",
    "ForkedError",
    "FormatError",
    "HydraSyncError",
    "NewerFormatError",
    "OrphanedError",
    "PeerError",
    "SignatureError",
    "StoreDamagedError",
    "StoreError",
    "StoreFullError",
    "StoreLockedError",
    "StoreMissingError",
    "UnavailableError",
    "UsageError",
]


class HydraSyncError(Exception):
    """Base of all errors raised on purpose; anything else that escapes is a bug of ours."""


class UsageError(HydraSyncError):
    """The caller or the configuration is wrong: fix the call, nothing was changed."""


class FormatError(HydraSyncError):
    """Bytes are not what format version 1 says. The one error every decoder raises."""


class SignatureError(FormatError):
    """The bytes are well formed, but their author did not sign them for this network."""


class NewerFormatError(FormatError):
    """The bytes declare a format version that this release does not know: upgrade."""


class PeerError(HydraSyncError):
    """The remote side broke the protocol: drop it and keep the message as evidence."""


class DeliveryError(HydraSyncError):
    """What was asked of other members did not happen; the event itself is durable here."""


class UnavailableError(HydraSyncError):
    """Events that exist, or existed, cannot be supplied; the message names the range and why."""


class OrphanedError(HydraSyncError):
    """Events that were delivered eagerly are no part of their log any more: ``start`` up to ``stop``.

    They were never stable, and a later epoch of their author goes on without them. Undo what followed
    from them, and follow from ``start`` on again; in the store's quarantine they stay readable.
    """

    def __init__(self, message: str, start: int, stop: int) -> None:
        super().__init__(message)
        self.start = start
        self.stop = stop


class ForkedError(UnavailableError):
    """The author of a log signed two histories from here on, and neither is delivered any further."""


class StoreError(HydraSyncError):
    """The disk or the store failed: stop writing; what was acknowledged before still stands."""


class StoreMissingError(StoreError):
    """There is no store in the directory."""


class StoreLockedError(StoreError):
    """Another process has the store open; the message says who."""


class StoreDamagedError(StoreError):
    """Bytes that were durable are wrong, and it is not a torn tail."""


class StoreFullError(StoreError):
    """No room on the disk, or no file to be had: the append was refused, nothing was lost, try again later."""
