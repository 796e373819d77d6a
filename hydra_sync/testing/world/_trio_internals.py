"""Every private name of trio that the simulation touches, and nowhere else. No I/O.

pyproject.toml pins the range of trio versions; `check` says at once, and by name, when a release
in it has moved something.
"""
# Private names are what this file is for; mypy takes them only by getattr and setattr.
# ruff: noqa: SLF001, B009, B010

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, Protocol

import outcome
import trio
from trio import _threads
from trio._core import _run
from trio.lowlevel import Task

from hydra_sync.errors import HydraSyncError, UsageError

__all__ = [
    "Run",
    "TrioChangedError",
    "check",
    "no_instruments",
    "own_schedule",
    "own_threads",
    "rare_polls",
    "task_number",
    "unshield",
]

_POLL_TURNS: Final = 256  # some milliseconds

AbortFunction = Callable[[Callable[[], None]], trio.lowlevel.Abort]

task_number: Final = attrgetter("_counter")
"""A task's serial number in this process: creation order, the same in every replay but for a constant."""


class TrioChangedError(HydraSyncError):
    """This release of trio is not one that the simulation knows: install one that pyproject.toml allows."""


class Shuffler(Protocol):
    """What trio's run loop calls on its random generator."""

    def shuffle(self, batch: list[Task]) -> None:
        """Put the tasks into order, the next to run last; what is taken out does not run."""

    def random(self) -> float:
        """Not called while batches are sorted, which `own_schedule` switches on."""


@dataclass(frozen=True, slots=True)
class Run:
    """The parts of a live `trio.run` that the simulation looks at."""

    runnable: deque[Task]
    idle_waiters: Mapping[tuple[float, int], Task]
    tasks: set[Task]

    def all_tasks(self) -> list[Task]:
        """Oldest first: the order of a set is not replayed."""
        return sorted(self.tasks, key=task_number)

    @classmethod
    def current(cls) -> Run:
        """Those of the run that this thread is in."""
        runner = _run.GLOBAL_RUN_CONTEXT.runner
        return cls(runner.runq, runner.waiting_for_idle, runner.tasks)

    def idle_cushion(self) -> float:
        """What the first `trio.testing.wait_all_tasks_blocked` waits for; there must be one in ``idle_waiters``."""
        return next(iter(self.idle_waiters))[0]


@contextmanager
def own_schedule(shuffler: Shuffler) -> Iterator[None]:
    """Let ``shuffler`` order every batch of tasks; trio sorts each by task number first.

    The sorting is essential: trio keeps tasks in sets, so they wake in the order of their addresses.
    """
    before = _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING
    setattr(_run, "_r", shuffler)
    setattr(_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    try:
        yield
    finally:
        setattr(_run, "_r", before[0])
        setattr(_run, "_ALLOW_DETERMINISTIC_SCHEDULING", before[1])


@contextmanager
def own_threads(refuse: Callable[[], None]) -> Iterator[None]:
    """Call ``refuse``, which may raise, before trio gives anything to a thread."""
    real: Callable[..., None] = getattr(_threads, "start_thread_soon")

    def guarded(*args: object, **kwargs: object) -> None:
        refuse()
        real(*args, **kwargs)

    setattr(_threads, "start_thread_soon", guarded)
    try:
        yield
    finally:
        setattr(_threads, "start_thread_soon", real)


@contextmanager
def rare_polls() -> Iterator[None]:
    """Ask the operating system for events only now and then: nothing real is waited for, but Ctrl-C.

    To be entered in a `trio.run`, which polls in each turn of its loop; that is a system call.
    """
    manager = _run.GLOBAL_RUN_CONTEXT.runner.io_manager
    kind = type(manager)
    poll = manager.get_events
    turns = 0

    def get_events(_: object, timeout: float) -> object:
        nonlocal turns
        turns += 1
        return poll(timeout) if timeout or turns % _POLL_TURNS == 0 else ()

    setattr(manager, "__class__", type(kind.__name__, (kind,), {"__slots__": (), "get_events": get_events}))
    try:
        yield
    finally:
        setattr(manager, "__class__", kind)


@contextmanager
def no_instruments() -> Iterator[None]:
    """Let trio find quickly that nobody has an instrument: it looks five times a step, in a dictionary written in
    Python. To be entered in a `trio.run`; with an instrument, nothing is done."""
    runner = _run.GLOBAL_RUN_CONTEXT.runner
    instruments = runner.instruments
    if set(instruments) == {"_all"}:
        setattr(runner, "instruments", _NoInstruments())
    try:
        yield
    finally:
        setattr(runner, "instruments", instruments)


class _NoInstruments(dict[str, object]):
    """An empty dictionary, into which nothing can be put."""

    def add_instrument(self, instrument: trio.abc.Instrument) -> None:
        raise UsageError("instruments cannot be added to a simulated world")


def unshield(task: Task) -> None:
    """Take every shield off from round a task, so that a cancellation reaches it."""
    status: _run.CancelStatus | None = task._cancel_status
    while status is not None:
        if status._scope.shield:
            status._scope.shield = False
        status = status._parent


def take_abort(task: Task) -> AbortFunction | None:
    """Make a waiting task deaf to cancellation; give what `give_abort` needs to undo that."""
    abort, task._abort_func = task._abort_func, None
    return abort


def give_abort(task: Task, abort: AbortFunction) -> None:
    """Undo `take_abort`, unless the task was woken since, and let a waiting cancellation in."""
    if task._next_send_fn is None and task._abort_func is None:
        task._abort_func = abort
        task._attempt_delivery_of_any_pending_cancel()


def wake_with_error(task: Task, error: BaseException) -> None:
    """Raise ``error`` in a waiting task that refuses to be cancelled, unless it waits for its children."""
    if task._next_send_fn is None and not task.child_nurseries:
        trio.lowlevel.reschedule(task, outcome.Error(error))


def check() -> None:
    """Raise `TrioChangedError` unless every private name is there and is what we take it for."""
    task_fields = {field.name for field in Task.__attrs_attrs__}
    runner_fields = {field.name for field in _run.Runner.__attrs_attrs__}
    status_fields = {field.name for field in _run.CancelStatus.__attrs_attrs__}
    loop = inspect.getsource(_run.unrolled_run)
    promises = {
        "_run._r is a random generator": hasattr(_run._r, "shuffle"),
        "_run._ALLOW_DETERMINISTIC_SCHEDULING is a flag": isinstance(_run._ALLOW_DETERMINISTIC_SCHEDULING, bool),
        "the run loop sorts batches by _counter": "batch.sort(key=lambda t: t._counter)" in loop,
        "the run loop gives batches to _r.shuffle": "_r.shuffle(batch)" in loop,
        "the run loop takes tasks from the end of the batch": "task = batch.pop()" in loop,
        "the clock is asked only when nothing is runnable": "runner.clock.deadline_to_sleep_time(deadline)" in loop,
        "the run loop polls by Runner.io_manager.get_events": (
            "io_manager" in runner_fields and hasattr(getattr(_run, "TheIOManager"), "get_events")
        ),
        "the run loop looks for instruments by their names": '"before_task_step" in runner.instruments' in loop,
        "Runner has runq, waiting_for_idle and tasks": {"runq", "waiting_for_idle", "tasks"} <= runner_fields,
        "Task has _counter, _abort_func, _next_send_fn and _cancel_status": (
            {"_counter", "_abort_func", "_next_send_fn", "_cancel_status"} <= task_fields
        ),
        "Task has _attempt_delivery_of_any_pending_cancel": hasattr(Task, "_attempt_delivery_of_any_pending_cancel"),
        "CancelStatus has _scope and _parent": {"_scope", "_parent"} <= status_fields,
        "_threads.start_thread_soon starts every thread": callable(getattr(_threads, "start_thread_soon", None)),
    }
    broken = [promise for promise, holds in promises.items() if not holds]
    if broken:
        raise TrioChangedError(f"trio {trio.__version__} cannot be simulated, it is no longer true that: {broken}")
