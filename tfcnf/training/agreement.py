"""Agreement among the workers of a cluster, and their waiting for one another."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfcnf
from tfcnf.data.record import DataRecord
from tfcnf.training.cluster import absent
from tfcnf.training.preemption import Preempted, Preemption, WorkerLost
from tfcnf.training.strategy import cluster_of
from tfcnf.types import Tensor

LOST = (  # what collective operations fail with where a worker is gone
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.UnavailableError,
)
TOLD = 3  # differences that a message names


def check_agreement(strategy: tf.distribute.Strategy, **facts: Any) -> None:
    """Waits for all workers and checks that they say the same.

    Args:
        strategy: from `tfcnf.training.strategy.get_strategy`.
        facts: must be the same for all workers; what JSON holds, in any depth.

    Raises:
        ValueError: in all of them, where they are not, with what differs and where.
    """
    differences = describe_differences(
        share(strategy, facts), cluster_of(strategy).addresses
    )
    if differences:
        raise ValueError(
            "the workers must be started with the same configuration, data and code, "
            f"and a workdir that all of them see. Received: {differences}"
        )


def check_same_data(strategy: tf.distribute.Strategy, data: DataRecord) -> None:
    """Checks that all workers have read the same data.

    Raises:
        ValueError: in all of them, where they have not.
    """
    addresses = cluster_of(strategy).addresses
    first, *others = map(DataRecord.from_json, share(strategy, data.to_json()))
    for record, address in zip(others, addresses[1:], strict=True):
        if changes := first.changes(record):
            raise ValueError(
                f"the workers must read the same data, those of {addresses[0]}. "
                f"Received: {'; '.join(changes)} at {address}"
            )


def share(strategy: tf.distribute.Strategy, value: Any) -> list[Any]:
    """Waits for all workers and returns what each of them says.

    A hash is compared; only where it differs, the workers tell each other everything.

    Args:
        strategy: from `tfcnf.training.strategy.get_strategy`.
        value: what JSON holds.
    """
    count = len(cluster_of(strategy).addresses)
    if count == 1:
        return [value]
    mine = json.dumps(value, sort_keys=True).encode()
    heads = _gather(strategy, len(mine).to_bytes(4) + hashlib.sha256(mine).digest())
    if len(set(heads)) == 1:
        return [value] * count
    longest = max(int.from_bytes(head[:4]) for head in heads)
    told = _gather(strategy, mine.ljust(longest))
    with suppress(*LOST):
        _gather(strategy, heads[0])  # nobody leaves before all have been told
    return [json.loads(text) for text in told]


def describe_differences(
    facts: Sequence[Mapping[str, Any]], addresses: Sequence[str]
) -> str:
    """Names the first entries that are not the same everywhere, and their values.

    Args:
        facts: of each worker.
        addresses: of each worker.
    """
    each = [dict(_leaves(fact)) for fact in facts]
    differing = []
    for name in dict.fromkeys(name for leaves in each for name in leaves):
        values = [
            repr(leaves[name]) if name in leaves else "nothing" for leaves in each
        ]
        first = {value: addresses[values.index(value)] for value in values}
        if len(first) > 1:
            places = [f"{value:.200} at {address}" for value, address in first.items()]
            differing.append(f"{name}={', '.join(places)}")
    more = len(differing) - TOLD
    return "; ".join(differing[:TOLD]) + (f"; and {more} more" if more > 0 else "")


def facts_of_code() -> dict[str, str]:
    """Versions that the results depend on, and a hash of the package's source."""
    root = Path(tfcnf.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return {
        "tfcnf": f"{tfcnf.__version__} {digest.hexdigest()[:12]}",
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }


def make_vote(strategy: tf.distribute.Strategy) -> Callable[[bool], bool]:
    """Tells whether any worker says yes; all must ask at the same time."""
    if len(cluster_of(strategy).addresses) == 1:
        return bool
    add_up = _sum_over_workers(strategy)
    return lambda mine: float(add_up(tf.constant(mine, tf.float32))) > 0


@contextmanager
def stay_together(
    strategy: tf.distribute.Strategy, preemption: Preemption
) -> Iterator[None]:
    """Waits for the other workers at the end, and says so where one is gone.

    Raises:
        WorkerLost: where another worker is gone.
        Preempted: the same, where this one was told to stop too.
    """
    addresses = cluster_of(strategy).addresses
    try:
        yield
        check_agreement(strategy)
    except LOST as failure:
        if len(addresses) == 1:
            raise
        if preemption.received:
            raise Preempted(preemption.number) from None
        raise WorkerLost(
            f"{describe_loss(absent(addresses))}. Start all workers again to resume. "
            f"Received: {type(failure).__name__}"
        ) from None


def describe_loss(silent: Sequence[str]) -> str:
    """Names the workers at whose addresses nobody answers.

    A process that was stopped keeps its address, as one does that was started again.
    """
    if silent:
        return f"a worker is gone: {', '.join(silent)}"
    return (
        "a worker did not answer for a while, though none is absent now: it was "
        "stopped, cut off, or ended and started anew"
    )


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _leaves(part, f"{name}.{key}" if name else key)
    else:
        yield name, value


def _gather(strategy: tf.distribute.Strategy, mine: bytes) -> list[bytes]:
    """The bytes of each worker, which must be equally many."""
    cluster = cluster_of(strategy)
    count = len(cluster.addresses)
    rows: np.ndarray = np.zeros([count, len(mine)], np.float32)
    rows[cluster.rank] = np.frombuffer(mine, np.uint8)
    total = _sum_over_workers(strategy)(tf.constant(rows)).numpy()
    local = strategy.num_replicas_in_sync // count
    return [row.tobytes() for row in np.rint(total / local).astype(np.uint8)]


@functools.cache
def _sum_over_workers(strategy: tf.distribute.Strategy) -> Callable[[Tensor], Tensor]:
    """Sums over all replicas what each worker has; traced once for each shape."""

    def add_up(value: Tensor) -> Tensor:
        context = tf.distribute.get_replica_context()
        # what comes from outside of the replica has no device to reduce to
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(value))

    @tf.function(autograph=False)
    def everywhere(value: Tensor) -> Tensor:
        total = strategy.run(add_up, args=(value,))
        return strategy.experimental_local_results(total)[0]

    return everywhere
