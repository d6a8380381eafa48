"""Devices that a training uses."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfcnf.checks import check_choice
from tfcnf.data.pipeline import Share
from tfcnf.training.cluster import Cluster, in_cluster, join_cluster, read_cluster

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker")
WAIT = 300.0


def get_strategy(name: str = "auto", wait: float = WAIT) -> tf.distribute.Strategy:
    """A distribution strategy by name.

    Args:
        name: ``"one_device"``; ``"mirrored"`` over all logical GPUs, or over all
            logical CPUs where there is no GPU; ``"multi_worker"``, the same on each
            of the workers that ``TF_CONFIG`` names (`tfcnf.training.cluster`), where
            a worker without a GPU is one replica; ``"auto"`` is the last where
            ``TF_CONFIG`` names several workers, mirrors where there are several GPUs,
            and else uses one device.
        wait: seconds to wait for absent workers.

    Raises:
        ValueError: for an unknown name, or a cluster that does not come about.
    """
    check_choice("strategy", name, STRATEGIES)
    if name == "multi_worker" or (name == "auto" and in_cluster()):
        return join_cluster(wait)
    gpus = tf.config.list_logical_devices("GPU")
    devices = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        return _mirrored(tuple(devices))
    return tf.distribute.OneDeviceStrategy(devices[0])


def cluster_of(strategy: tf.distribute.Strategy) -> Cluster:
    """The processes that train together, and which of them this one is."""
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return read_cluster()
    return Cluster(("localhost",), 0)


def share_of(strategy: tf.distribute.Strategy, batch_size: int) -> Share:
    """The parts of every batch that this process takes: one for each replica.

    Raises:
        ValueError: for a batch that the replicas do not divide.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ValueError(
            f"batch_size must be divisible by the {replicas} replicas. "
            f"Received: batch_size={batch_size}"
        )
    cluster = cluster_of(strategy)
    local = replicas // len(cluster.addresses)
    return Share(replicas, local * cluster.rank, local)


def distribute(
    strategy: tf.distribute.Strategy, make: Callable[[], tf.data.Dataset]
) -> Any:
    """Function that gives each of this process' replicas its part of a batch.

    Args:
        strategy: from `get_strategy`.
        make: makes a data set of parts, as `tfcnf.data.pipeline.training_order`.
    """
    if strategy.num_replicas_in_sync == 1:
        return make()
    # without an end, so that the workers need not agree at each step whether all have
    # a batch
    return strategy.distribute_datasets_from_function(lambda _: make().repeat())


def start_faster() -> None:
    """Leaves TensorFlow's graph optimizer out where there is no GPU.

    On CPUs it takes most of the time to the first step of a flow and makes the steps no
    faster. It is a setting of the process; on GPUs it chooses their layouts.
    """
    if not tf.config.list_physical_devices("GPU"):
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def split_cpu(count: int) -> None:
    """Makes the CPU ``count`` logical devices, to try out what several devices do.

    Raises:
        ValueError: for a number below 1, or after TensorFlow has begun.
    """
    if count < 1:
        raise ValueError(f"there must be a CPU. Received: logical_cpus={count}")
    if count == 1:
        return
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as failure:
        raise ValueError(f"{failure}. Received: logical_cpus={count}") from None


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    # one a process: TensorFlow mixes up the collectives of two
    return tf.distribute.MirroredStrategy(devices)
