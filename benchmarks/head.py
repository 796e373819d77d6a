"""Confirmed transactions a second of a Hydra head: three processes, syncs on, hydra-node's published figures beside it.

    python benchmarks/head.py [--transactions 3-nodes.json] [--runs 3] [--count 300]

Each run is the demonstration's, without its kills. The ratio is to the least that three nodes have to do: judge
every transaction, by this package's own ledger, in this process. hydra-node's figures are those of its repository
(hydra-cluster/bench/BASELINES.md at ca8d19bc), another machine's, and for the same dataset.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

import trio

from hydra_sync.config import load_config
from hydra_sync.demo.head_story import tell_head_story
from hydra_sync.demo.head_verdict import Figures, figures, judge_head
from hydra_sync.demo.wallets import Wallets, generate, read_wallets
from hydra_sync.head import UtxoLedger
from hydra_sync.head.conway import read_transaction
from hydra_sync.head.ledger import Outputs, judged

PUBLISHED = """hydra-node, 3 nodes, this dataset, on an 8-core Core Ultra 7 258V (published, not measured here):
  614 to 1,374 transactions/s (2,211 with up to 1,000 in a snapshot); confirmation p50 1.36 s, p95 1.45 s at 614/s"""


def run(wallets: Wallets) -> Figures:
    """One story, judged: a figure of a head that went wrong would be worth nothing."""
    with tempfile.TemporaryDirectory(prefix="hydra-sync-head-") as home:

        async def story() -> Figures:
            told = await tell_head_story(
                Path(home), wallets, kills=False, say=lambda _, __: None, progress=lambda _: None
            )
            configs = {name: load_config(Path(home) / f"{name}.toml") for name in told.nodes}
            verdict = await judge_head(configs, told, wallets)
            assert verdict.good, verdict.problems
            return figures(told)

        return trio.run(story)


def ledger_alone_s(wallets: Wallets) -> float:
    """Seconds in which one process reads, verifies and applies all transactions, once."""
    ledger = UtxoLedger()
    outputs = Outputs.opening((ref, ledger.read_output(data)) for ref, data in wallets.outputs)
    read_transaction.cache_clear()
    began = time.process_time()
    for transactions in wallets.transactions:
        for data in transactions:
            transaction = ledger.read(data)
            assert ledger.witnessed(transaction) is None
            assert judged(ledger, outputs, transaction) is None
            outputs = outputs.after([transaction])
    return time.process_time() - began


def machine() -> str:
    """This machine, in a line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = names[0] if names else platform.machine()
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transactions", type=Path, help="a dataset of hydra-node's benchmark; generated ones without")
    parser.add_argument("--count", type=int, default=300, help="generated transactions of each of three clients")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    wallets = read_wallets(options.transactions) if options.transactions else generate(options.count)
    print(machine())
    for _ in range(options.runs):
        measured = run(wallets)
        least_s = ledger_alone_s(wallets)
        fifty, most, nearly_all = (f"{seconds:.2f} s" for seconds in measured.latency_s)
        print(
            f"{measured.confirmed:,} transactions, {measured.snapshots} snapshots: {measured.throughput:,.0f}/s; "
            f"p50 {fifty}, p95 {most}, p99 {nearly_all}; "
            f"{measured.seconds / least_s:.1f} times as long as one process takes to judge them ({least_s:.2f} s)"
        )
    print(PUBLISHED)


if __name__ == "__main__":
    main()
