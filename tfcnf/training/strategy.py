"""Which devices a training uses."""

from __future__ import annotations

import functools

import tensorflow as tf

from tfcnf.checks import check_choice

STRATEGIES = ("auto", "one_device", "mirrored")


def get_strategy(name: str = "auto") -> tf.distribute.Strategy:
    """A distribution strategy by name.

    Args:
        name: ``"auto"`` mirrors over all GPUs if there are several, else uses one
            device; ``"one_device"``; ``"mirrored"`` over all logical GPUs, or over
            all logical CPUs where there is no GPU.

    Raises:
        ValueError: for an unknown name.
    """
    check_choice("strategy", name, STRATEGIES)
    gpus = tf.config.list_logical_devices("GPU")
    devices = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        return _mirrored(tuple(devices))
    return tf.distribute.OneDeviceStrategy(devices[0])


def start_faster() -> None:
    """Leaves TensorFlow's graph optimizer out where there is no GPU.

    On CPUs it takes most of the time to the first step of a flow and makes the steps no
    faster. It is a setting of the process; on GPUs it chooses their layouts.
    """
    if not tf.config.list_physical_devices("GPU"):
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    # one a process: TensorFlow mixes up the collectives of two
    return tf.distribute.MirroredStrategy(devices)
