"""What every replica works out again about the same bytes is worked out once in a process. No I/O.

In a world every node checks the signature, and parses the bytes, that every other one has. What comes
of it depends on nothing but the arguments, and is never changed in place, so a world may remember it,
and no run comes out otherwise. Errors are not remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from types import ModuleType
from typing import Final, ParamSpec, TypeVar

from nacl import bindings

from hydra_sync import batch
from hydra_sync.wire import frames

__all__ = ["remembered"]

P = ParamSpec("P")
T = TypeVar("T")

_REMEMBERED: Final = 1 << 13  # of the last signatures; a record in a world of many nodes is checked soon or never
_PARSED: Final = 1 << 10  # bytes are parsed sooner still
_PARSED_BYTES_MAX: Final = 4096  # larger ones are few, and many of them would fill the memory

_KEY_BYTES: Final = 32

_really_sign = bindings.crypto_sign
_open = lru_cache(_REMEMBERED)(bindings.crypto_sign_open)
_made: dict[tuple[bytes, bytes], bytes] = {}


@lru_cache(_REMEMBERED)
def _sign(message: bytes, secret: bytes) -> bytes:
    """A signature that was made here holds: the second half of a secret key is the public one."""
    signed: bytes = _really_sign(message, secret)
    _made[signed, secret[_KEY_BYTES:]] = message
    if len(_made) > _REMEMBERED:
        del _made[next(iter(_made))]
    return signed


def _open_signed(signed: bytes, public: bytes) -> bytes:
    message = _made.get((signed, public))
    return _open(signed, public) if message is None else message


@contextmanager
def remembered() -> Iterator[None]:
    """Let PyNaCl's Ed25519, and the parsers of batches and messages, remember until the block ends."""
    with ExitStack() as undo:
        _replace(undo, bindings, "crypto_sign", _sign)
        _replace(undo, bindings, "crypto_sign_open", _open_signed)
        for name in ("parse_batch", "_parse_body", "_signed_bytes"):
            _replace(undo, batch, name, _memo(getattr(batch, name)))
        _replace(undo, frames, "decode_message", _memo(frames.decode_message))
        yield


def _memo(parse: Callable[P, T]) -> Callable[P, T]:
    known = lru_cache(_PARSED)(parse)

    def parse_once(*args: P.args, **kwargs: P.kwargs) -> T:
        data = args[0]
        small = isinstance(data, bytes) and len(data) <= _PARSED_BYTES_MAX
        return known(*args, **kwargs) if small else parse(*args, **kwargs)  # type: ignore[arg-type]  # a cache asks for more

    return parse_once


def _replace(undo: ExitStack, module: ModuleType, name: str, by: Callable[..., object]) -> None:
    undo.callback(setattr, module, name, getattr(module, name))
    setattr(module, name, by)
