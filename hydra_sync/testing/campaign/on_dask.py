"""The calls of a pool on a Dask cluster, for more than one machine. Does I/O: talks to the scheduler.

A task of the cluster is a chunk of calls, made in a process of its own beside the Dask worker: so
hash seed, time limits and single threads are the same as on one machine.
"""

from __future__ import annotations

import importlib
import logging
import queue
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from typing import Any, Final, TypeVar

from hydra_sync.errors import UsageError
from hydra_sync.testing.campaign.pool import Answer, Call, call_chunk

__all__ = ["LOCAL", "call_all_on_dask"]

T = TypeVar("T")

LOCAL: Final = "local"
"""In place of an address: a cluster on this machine, for as long as it is needed."""

# The news of a chunk come all at once, and are lost with it; each costs the start of a process.
CHUNK_CALLS_MAX: Final = 10
CHUNKS_A_CORE: Final = 4  # so that no core waits long for the last one
CONNECT_S_MAX: Final = 5
WORKERS_S_MAX: Final = 30  # a cluster that grows on demand starts them when somebody comes
QUIET_S: Final = 5  # without news, after which we ask whether there are workers at all
KILLED: Final = "KilledWorker"  # Dask's error for what was on one worker after the other that died


def call_all_on_dask(
    calls: Iterable[Call],
    address: str,
    jobs: int,
    on_answer: Callable[[Call, Answer], None],
    *,
    chunk_max: int = CHUNK_CALLS_MAX,
) -> None:
    """As `call_all`, on the cluster whose scheduler is at ``address``; ``jobs`` is the size of a `LOCAL` one.

    The workers need this package, and the modules of the scenarios, in the same version. Calls that
    take minutes are best made one by one (``chunk_max``). `UsageError` if there is no scheduler or
    no worker, or none any more.
    """
    try:
        distributed = importlib.import_module("distributed")  # an extra
    except ImportError as error:
        raise UsageError("Dask is not installed: pip install 'hydra-sync[simulate-cluster]'") from error
    with ExitStack() as stack:
        cluster: object = address
        if address == LOCAL:
            with _interrupts_held_back():
                cluster = stack.enter_context(
                    distributed.LocalCluster(
                        n_workers=jobs,
                        threads_per_worker=1,
                        dashboard_address="127.0.0.1:0",  # that of None would be 8787, where others may be
                        scheduler_kwargs={"dashboard": False},
                        silence_logs=logging.ERROR,
                    )
                )
        try:
            client = stack.enter_context(distributed.Client(cluster, timeout=CONNECT_S_MAX))
        except (OSError, ValueError) as error:
            raise UsageError(f"there is no Dask scheduler at {address}: {error}") from error
        workers = _Workers(client, address, jobs)
        workers.require()
        cores = max(1, sum(client.nthreads().values()))
        killed: list[Call] = []
        for call, answer in workers.call(_chunks(list(calls), cores, chunk_max)):
            if answer.error == KILLED:
                killed.append(call)
            else:
                on_answer(call, answer)
        # Dask blames all that was on a worker when it died. Each alone, the guilty ones are found.
        for suspect in killed:
            for call, answer in workers.call([[suspect]]):
                on_answer(call, answer)


class _Workers:
    """Those of a cluster, which may die, all of them. Clients and futures are Dask's, which have no types."""

    def __init__(self, client: Any, address: str, jobs: int) -> None:
        self._client = client
        self._address = address
        self._jobs = jobs

    def call(self, chunks: Iterable[list[Call]]) -> Iterator[tuple[Call, Answer]]:
        """Make the calls of all chunks; each with its answer, in any order."""
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        chunk_of = {self._client.submit(call_chunk, chunk, pure=False): chunk for chunk in chunks}
        for future in chunk_of:
            future.add_done_callback(done.put)
        for _ in chunk_of:
            future = self._wait(done.get)
            if future.cancelled():  # we do not cancel any
                raise UsageError(f"the Dask scheduler at {self._address} is gone; the same command goes on from there")
            chunk = chunk_of[future]
            trouble = self._wait(future.exception)
            lost = [Answer(error=type(trouble).__name__, message=str(trouble))] * len(chunk)
            # Dask makes a chunk again if whoever made it dies before we have the answers.
            yield from zip(chunk, lost if trouble is not None else self._wait(future.result), strict=True)

    def require(self) -> None:
        """Wait until there is a worker, but not for ever."""
        deadline = time.monotonic() + WORKERS_S_MAX
        while True:
            self._start_again()
            try:
                self._client.wait_for_workers(1, timeout=QUIET_S)
            except TimeoutError as error:
                if time.monotonic() > deadline:
                    raise UsageError(f"{self._no_workers()}; the same command goes on from there") from error
            else:
                return

    def _no_workers(self) -> str:
        """What is wrong, and what to do about it."""
        if self._address == LOCAL:
            return (
                f"no worker of the local Dask cluster started within {WORKERS_S_MAX} s: let the machine have less to do"
            )
        return (
            f"the Dask scheduler at {self._address} has no workers: start some (dask worker {self._address}), "
            "with hydra-sync and the modules of the scenarios installed in the same version"
        )

    def _wait(self, ask: Callable[..., T]) -> T:
        """What we are told in the end."""
        while True:
            self._start_again()
            try:
                return ask(timeout=QUIET_S)
            except (TimeoutError, queue.Empty):
                self.require()

    def _start_again(self) -> None:
        """Have a local cluster complete. Of itself it drops a worker that took long to be back, for good."""
        if self._address == LOCAL:
            self._client.cluster.scale(self._jobs)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C waits until we are done. Processes that are started in here never hear it: we end them ourselves."""
    resource_tracker.ensure_running()  # else who starts the first process starts it, and is open to Ctrl-C from then on
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, usual)


def _chunks(calls: list[Call], cores: int, chunk_max: int) -> Iterator[list[Call]]:
    size = max(1, min(chunk_max, len(calls) // (CHUNKS_A_CORE * cores)))
    return (calls[start : start + size] for start in range(0, len(calls), size))
