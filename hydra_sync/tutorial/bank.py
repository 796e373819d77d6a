"""A bank: each member has an account, and pays out of its own. Money is never made, lost, or spent twice. No I/O.

Only its owner decides on an account, on what is durable in one log: that is why no two payments can spend the
same money, whatever crashes and partitions there are. The payee has it when the payment is heard.

>>> from hydra_sync.identity import MemberKey
>>> from hydra_sync.machine import Command
>>> alice, bob = MemberKey(bytes([1]) * 32), MemberKey(bytes([2]) * 32)
>>> bank = Bank(me=alice, opening={alice: 10, bob: 0})
>>> bank.decide(bank.start, Command(("pay", bob, 7), now_us=0))
(('paid', b'\\x02...', 7),)
>>> bank.decide(bank.start, Command(("pay", bob, 11), now_us=0))
Traceback (most recent call last):
hydra_sync.machine.form.RejectedError: 11 is more than the 10 in the account
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hydra_sync.errors import FormatError
from hydra_sync.identity import MemberKey
from hydra_sync.machine import Command, Decided, Heard, Input, Record, RejectedError

__all__ = ["Accounts", "Bank"]


@dataclass(frozen=True, slots=True)
class Accounts:
    """What one member knows: balances, and what it has paid that has not come back to it yet."""

    balances: Mapping[MemberKey, int]
    under_way: int = 0

    @property
    def money(self) -> int:
        """All there is: the same for ever, whatever happens. This is what a simulation checks."""
        return sum(self.balances.values()) + self.under_way


class Bank:
    """Commands are ``("pay", payee, amount)``; ``opening`` is what each account begins with, equal on all nodes."""

    name: Final = "tutorial/bank"

    def __init__(self, me: MemberKey, opening: Mapping[MemberKey, int]) -> None:
        self._me = me
        self.start = Accounts(dict(opening))

    def decide(self, state: Accounts, cause: Input) -> Sequence[object]:
        match cause:
            case Command(("pay", bytes(payee), int(amount))) if payee in state.balances and amount > 0:
                balance = state.balances[self._me]
                if amount > balance:
                    raise RejectedError(f"{amount} is more than the {balance} in the account")
                return (("paid", payee, amount),)
            case Command(content):
                raise RejectedError(f"a command is ('pay', member, amount above 0), this is {content!r}")
        return ()

    def evolve(self, state: Accounts, record: Record) -> Accounts:
        match record:
            case Decided(("paid", _, int(amount))):  # our own: it leaves the account at once, so it is spent once
                return Accounts(_moved(state.balances, self._me, -amount), state.under_way + amount)
            case Heard(place, ("paid", bytes(payee), int(amount))) if place.log == self._me:
                return Accounts(_moved(state.balances, MemberKey(payee), amount), state.under_way - amount)
            case Heard(place, ("paid", bytes(payee), int(amount))) if payee in state.balances and amount > 0:
                paid = _moved(state.balances, place.log, -amount)
                return Accounts(_moved(paid, MemberKey(payee), amount), state.under_way)
        return state

    def hears(self, content: object) -> bool:
        return isinstance(content, tuple) and content[:1] == ("paid",)

    def alarm_us(self, state: Accounts) -> None:
        return None

    def freeze(self, state: Accounts) -> object:
        return tuple(sorted(state.balances.items())), state.under_way

    def thaw(self, frozen: object) -> Accounts:
        match frozen:
            case (tuple(balances), int(under_way)):
                return Accounts({MemberKey(member): balance for member, balance in balances}, under_way)
        raise FormatError("these are no accounts")


def _moved(balances: Mapping[MemberKey, int], account: MemberKey, amount: int) -> Mapping[MemberKey, int]:
    return {**balances, account: balances[account] + amount}
