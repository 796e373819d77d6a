"""``hydra-sync keygen``: a new key pair in hydra-node's text envelopes. Does I/O."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from hydra_sync.cli.options import json_option
from hydra_sync.errors import UsageError
from hydra_sync.identity import SigningKey, signing_envelope, verification_envelope
from hydra_sync.limits import KEY_BYTES

__all__ = ["keygen"]


@click.command(epilog="Example: hydra-sync keygen --output-file alice")
@click.option(
    "--output-file", required=True, metavar="NAME", type=click.Path(path_type=Path), help="What to call both."
)
@json_option("the paths and the key")
def keygen(output_file: Path, as_json: bool) -> None:
    """Make a signing key, NAME.sk, and its verification key, NAME.vk. Never overwrites a file."""
    if output_file.name in ("", ".."):
        raise UsageError(f"{output_file} is a directory: write --output-file {output_file / 'NAME'}")
    key = SigningKey(os.urandom(KEY_BYTES))
    private, public = (output_file.with_name(output_file.name + suffix) for suffix in (".sk", ".vk"))
    if public.exists():
        raise UsageError(f"{public} exists, and keys are never overwritten: choose another name")
    _write_new(private, signing_envelope(key), 0o600)
    _write_new(public, verification_envelope(key.member), 0o644)
    if as_json:
        paths = {"signing_key": str(private), "verification_key": str(public)}
        click.echo(json.dumps(paths | {"key": key.member.hex()}))
    else:
        click.echo(f"{private}  keep this one secret\n{public}  give this one to the other members")


def _write_new(path: Path, text: str, mode: int) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise UsageError(f"{path} exists, and keys are never overwritten: choose another name") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(fd, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink()
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
