"""The scenarios that failing seeds have become pass now."""

from __future__ import annotations

from simulations import found


def test_breaker_is_not_courted() -> None:
    assert found.breaker_is_not_courted.run(0).failure is None


def test_strangers_at_every_door() -> None:
    assert found.strangers_at_every_door.run(0).failure is None


def test_delivered_and_restarted() -> None:
    assert all(found.delivered_and_restarted.run(seed).failure is None for seed in range(3))


def test_crowd_after_a_pause() -> None:
    assert found.crowd_after_a_pause.run(0).failure is None


def test_author_with_a_hole() -> None:
    """Also in a few steps: at the speed of messages it took a hundred thousand."""
    outcome = found.author_with_a_hole.run(1)
    assert outcome.failure is None
    assert outcome.steps < 20_000


def test_answers_find_another_way() -> None:
    assert found.answers_find_another_way.run(0).failure is None


def test_reminded_without_a_word() -> None:
    assert found.reminded_without_a_word.run(0).failure is None


def test_later_epoch_as_long_as_ours() -> None:
    assert all(found.later_epoch_as_long_as_ours.run(seed).failure is None for seed in range(10))


def test_orphans_are_told_at_once() -> None:
    assert found.orphans_are_told_at_once.run(0).failure is None


def test_disk_fails_under_an_append() -> None:
    assert all(found.disk_fails_under_an_append.run(seed).failure is None for seed in range(10))


def test_claimed_epoch() -> None:
    assert all(found.claimed_epoch.run(seed).failure is None for seed in range(3))


def test_claims_by_turns() -> None:
    assert all(found.claims_by_turns.run(seed).failure is None for seed in range(3))


def test_promise_waits_for_room() -> None:
    assert found.promise_waits_for_room.run(0).failure is None


def test_none_is_left_out() -> None:
    assert {f"test_{name}" for name in found.__all__} <= globals().keys()
