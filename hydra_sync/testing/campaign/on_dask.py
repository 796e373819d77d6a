"""The calls of a pool on a Dask cluster, for more than one machine. Does I/O: talks to the scheduler.

A task of the cluster is a chunk of calls, made in a process of its own beside the Dask worker: so
hash seed, time limits and single threads are the same as on one machine.
"""

from __future__ import annotations

import importlib
import logging
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from hydra_sync.errors import UsageError
from hydra_sync.testing.campaign.pool import Answer, Call, call_chunk

__all__ = ["LOCAL", "call_all_on_dask"]

LOCAL: Final = "local"
"""In place of an address: a cluster on this machine, for as long as it is needed."""

# The news of a chunk come all at once, and are lost with it; each costs the start of a process.
CHUNK_CALLS_MAX: Final = 10
CHUNKS_A_CORE: Final = 4  # so that no core waits long for the last one
CONNECT_S_MAX: Final = 5
WORKERS_S_MAX: Final = 30  # a cluster that grows on demand starts them when somebody comes


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
    take minutes are best made one by one (``chunk_max``).
    """
    try:
        distributed = importlib.import_module("distributed")  # an extra
    except ImportError as error:
        raise UsageError("Dask is not installed: pip install 'hydra-sync[simulate-cluster]'") from error
    with ExitStack() as stack:
        cluster: object = address
        if address == LOCAL:
            with _interrupts_ignored():
                local = distributed.LocalCluster(
                    n_workers=jobs, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR
                )
            cluster = stack.enter_context(local)
        try:
            client = stack.enter_context(distributed.Client(cluster, timeout=CONNECT_S_MAX))
        except (OSError, ValueError) as error:
            raise UsageError(f"there is no Dask scheduler at {address}: {error}") from error
        try:
            client.wait_for_workers(1, timeout=WORKERS_S_MAX)
        except TimeoutError as error:
            raise UsageError(
                f"the Dask scheduler at {address} has no workers: start some (dask worker {address}), with hydra-sync "
                "and the modules of the scenarios installed in the same version"
            ) from error
        cores = max(1, sum(client.nthreads().values()))
        todo = list(calls)
        futures = {client.submit(call_chunk, chunk, pure=False): chunk for chunk in _chunks(todo, cores, chunk_max)}
        killed: list[Call] = []
        for future in distributed.as_completed(list(futures)):
            if isinstance(future.exception(), distributed.scheduler.KilledWorker):
                killed += futures[future]
            else:
                _give(futures[future], future, on_answer)
        # Dask blames all that was on a worker when it died. Each alone, the guilty ones are found.
        for call in killed:
            _give([call], client.submit(call_chunk, [call], pure=False), on_answer)


def _give(chunk: list[Call], future: Any, on_answer: Callable[[Call, Answer], None]) -> None:
    """Hand on what came of a chunk; the future is Dask's, which has no types."""
    trouble = future.exception()
    lost = [Answer(error=type(trouble).__name__, message=str(trouble))] * len(chunk)
    for call, answer in zip(chunk, lost if trouble is not None else future.result(), strict=True):
        on_answer(call, answer)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Whatever is started in here does not hear Ctrl-C, which is for us: we end it ourselves."""
    if threading.current_thread() is not threading.main_thread():  # which alone hears of signals
        yield
        return
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def _chunks(calls: list[Call], cores: int, chunk_max: int) -> Iterator[list[Call]]:
    size = max(1, min(chunk_max, len(calls) // (CHUNKS_A_CORE * cores)))
    return (calls[start : start + size] for start in range(0, len(calls), size))
