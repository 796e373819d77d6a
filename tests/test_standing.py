"""What a node owes the others is within its limits, or no standing at all."""

from __future__ import annotations

import pytest

from hydra_sync.chain import Tip
from hydra_sync.identity import MemberKey
from hydra_sync.limits import ANSWER_BYTES_MAX, MEMBERS_MAX, TEXT_BYTES_MAX, UINT_MAX
from hydra_sync.standing import Standing

HASH = bytes(32)


def test_the_largest_standing_is_one() -> None:
    """Every field at its limit."""
    Standing(
        promised=UINT_MAX,
        start=bytes(16),
        store_id=bytes(16),
        answer=bytes(ANSWER_BYTES_MAX),
        ballot=bytes(ANSWER_BYTES_MAX),
        counted=Tip(UINT_MAX, UINT_MAX, HASH),
        amnesiac=True,
        reminded=True,
        why="ü" * (TEXT_BYTES_MAX // 2),
        without=(MemberKey(HASH),) * MEMBERS_MAX,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"promised": -1},
        {"promised": UINT_MAX + 1},
        {"start": bytes(15)},
        {"store_id": bytes(17)},
        {"answer": bytes(ANSWER_BYTES_MAX + 1)},
        {"ballot": bytes(ANSWER_BYTES_MAX + 1)},
        {"counted": Tip(-1, 0, HASH)},
        {"counted": Tip(0, UINT_MAX + 1, HASH)},
        {"counted": Tip(0, 0, bytes(31))},
        {"why": "ü" * (TEXT_BYTES_MAX // 2 + 1)},
        {"without": (MemberKey(HASH),) * (MEMBERS_MAX + 1)},
        {"without": (MemberKey(bytes(31)),)},
    ],
)
def test_one_field_beyond_its_limit_is_too_much(fields: dict[str, object]) -> None:
    """It says which standing that would have been, in few words."""
    with pytest.raises(ValueError, match="no standing is like this") as raised:
        Standing(**fields)  # type: ignore[arg-type]
    assert len(str(raised.value)) <= 500
