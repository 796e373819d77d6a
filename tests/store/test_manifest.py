"""Promises of `hydra_sync.store.manifest`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra_sync.errors import NewerFormatError, StoreDamagedError
from hydra_sync.identity import MemberKey, NetworkId
from hydra_sync.store.manifest import Manifest, parse_manifest, render

MANIFEST = Manifest(NetworkId(b"n" * 32), MemberKey(b"k" * 32), b"s" * 16, founding=True)


def test_a_manifest_comes_back() -> None:
    """`parse_manifest` undoes `render`."""
    assert parse_manifest(render(MANIFEST)) == MANIFEST


def test_every_changed_character_is_noticed() -> None:
    """No character of the file may differ: the error names `recover`, or `upgrade` if it is the version."""
    text = render(MANIFEST)
    for at in range(len(text)):
        for other in "0z\n":
            if text[at] == other:
                continue
            with pytest.raises((StoreDamagedError, NewerFormatError), match=r"hydra-sync recover|upgrade"):
                parse_manifest(text[:at] + other + text[at + 1 :])


@given(st.text())
def test_any_text_is_a_manifest_or_damaged(text: str) -> None:
    """Any text gives a manifest or one of the two declared errors."""
    with pytest.raises((StoreDamagedError, NewerFormatError)):
        parse_manifest(text)


def test_a_newer_format_asks_for_an_upgrade_whatever_its_checksum() -> None:
    """The version is looked at first: a newer release may compute another checksum."""
    with pytest.raises(NewerFormatError, match="upgrade hydra-sync"):
        parse_manifest('format = 2\nshape = "unknown"\n')
