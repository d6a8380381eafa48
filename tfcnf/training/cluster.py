"""The workers of a training on several machines, from ``TF_CONFIG``.

https://www.tensorflow.org/guide/distributed_training#TF_CONFIG ::

    TF_CONFIG='{"cluster": {"worker": ["host1:2222", "host2:2222"]},
                "task": {"type": "worker", "index": 0}}'

A ``chief``, if there is one, comes before the workers.
"""

from __future__ import annotations

import functools
import json
import os
import re
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import tensorflow as tf
from tensorflow.python.distribute import collective_all_reduce_strategy
from tensorflow.python.eager import context

JOBS = ("chief", "worker")
ADDRESS = re.compile(r"(?P<host>[^:/\s]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")
HEALTH_INTERVAL = 10  # seconds between two questions whether the others are well
HEALTH_TIMEOUT = 10  # seconds that an answer may take; asked three times


class Cluster(NamedTuple):
    """The addresses of all workers, the chief's first, and this one's number."""

    addresses: tuple[str, ...]
    rank: int


def in_cluster() -> bool:
    """True where the environment says that there are other workers."""
    return bool(os.environ.get("TF_CONFIG")) and len(read_cluster().addresses) > 1


def read_cluster() -> Cluster:
    """Reads ``TF_CONFIG``.

    Raises:
        ValueError: where it is missing or wrong.
    """
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text)
    except json.JSONDecodeError as failure:
        _refuse(f"must be JSON ({failure})", text)
    jobs = _mapping(config, "cluster", text)
    task = _mapping(config, "task", text)
    unknown = sorted(set(jobs) - set(JOBS))
    if unknown or not jobs:
        _refuse(f"must have a cluster of {' and '.join(JOBS)} alone", text)
    addresses = [address for job in JOBS for address in _addresses(jobs, job, text)]
    if len(set(addresses)) < len(addresses):
        _refuse("must give each worker an address of its own", text)
    job, index = task.get("type"), task.get("index")
    if job not in jobs:
        _refuse(f"must have a task type among {', '.join(jobs)}", text)
    count = len(jobs[job])
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < count:
        _refuse(f"must have a task index in 0..{count - 1}", text)
    before = len(jobs.get("chief", ())) if job == "worker" else 0
    return Cluster(tuple(addresses), before + index)


@functools.cache
def join_cluster(wait: float) -> tf.distribute.MultiWorkerMirroredStrategy:
    """TensorFlow's strategy for the workers of ``TF_CONFIG``; one a process.

    It must come before anything else that TensorFlow does. While it trains, a thread
    of TensorFlow's asks the other workers whether they are well, and ends all
    collective operations with an error where one is not.

    Args:
        wait: seconds to wait for absent workers.

    Raises:
        ValueError: where ``TF_CONFIG`` is wrong, this worker's port is taken, or
            others are absent after that time.
    """
    cluster = read_cluster()
    check_port(cluster.addresses[cluster.rank])
    # instead of the coordination service: a thread that also bounds the first wait
    context.context().configure_coordination_service(service_type="")
    health = collective_all_reduce_strategy.CollectiveAllReduceExtended
    health._check_health_initial_timeout = wait
    health._check_health_interval = HEALTH_INTERVAL
    health._check_health_timeout = HEALTH_TIMEOUT
    experimental = tf.distribute.experimental
    ring = experimental.CommunicationImplementation.RING
    gpus = tf.config.list_physical_devices("GPU")
    options = experimental.CommunicationOptions(
        implementation=experimental.CommunicationImplementation.AUTO if gpus else ring
    )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    except (tf.errors.OpError, RuntimeError) as failure:
        silent = ", ".join(absent(cluster.addresses)) or "none that is silent now"
        raise ValueError(
            f"the workers did not all come within {wait:g} s; absent: {silent}. "
            f"Received: {type(failure).__name__}"
        ) from None


def check_port(address: str) -> None:
    """Checks that this worker can listen at its address.

    Raises:
        ValueError: where its port is taken.
    """
    port = int(address.rpartition(":")[2])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as failure:
            raise ValueError(
                f"this worker cannot listen at its port ({failure.strerror}). "
                f"Received: TF_CONFIG with {address!r}"
            ) from None


def absent(addresses: Sequence[str]) -> list[str]:
    """Addresses at which nobody answers."""
    silent = []
    for address in addresses:
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), 1.0).close()
        except OSError:
            silent.append(address)
    return silent


def _mapping(config: Any, key: str, text: str) -> dict[str, Any]:
    value = config.get(key) if isinstance(config, dict) else None
    if not isinstance(value, dict):
        _refuse(f"must be an object with an object {key!r}", text)
    return value


def _addresses(jobs: dict[str, Any], job: str, text: str) -> list[str]:
    addresses = jobs.get(job, [])
    if not isinstance(addresses, list) or (job in jobs and not addresses):
        _refuse(f"must have a list of addresses for each {job}", text)
    for address in addresses:
        match = ADDRESS.fullmatch(address) if isinstance(address, str) else None
        if not match or not 0 < int(match["port"]) < 65536:
            _refuse(f"must have addresses host:port, not {address!r},", text)
    if job == "chief" and len(addresses) > 1:
        _refuse("must have one chief at most", text)
    return addresses


def _refuse(problem: str, text: str) -> NoReturn:
    raise ValueError(f"TF_CONFIG {problem}. Received: TF_CONFIG={text!r}")
