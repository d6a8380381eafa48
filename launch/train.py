"""Trains a flow, or resumes its training, and evaluates it.

    python launch/train.py --config=configs/digits.py --workdir=runs/digits

Any value of the configuration can be given behind its name, for instance
--config.model.tol=1e-4 --config.training.epochs=5, and variants of a configuration
behind a colon: --config=configs/digits.py:model=ccnf,smoke.

The same command resumes a run; with a larger --config.training.epochs it trains on, the
learning rate's schedule being over all epochs, and --config.data may say where the same
data have moved. --init_from=RUN (or RUN/last_good) begins a new run with the weights of
another one of the same architecture.

Exit status: 0; 2 for bad input; 1 for a solve that failed; 143 where SIGTERM ended the
training, which is saved; 75 where another worker is gone. After the last two the same
command, for all workers, goes on.
"""

from absl import flags
from ml_collections import config_flags

from tfcnf import command_line, libraries  # noqa: F401 - imports first
from tfcnf.runs import train
from tfcnf.training import callbacks, checkpoints, strategy
from tfcnf.training.tracing import parse_steps

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Configuration file, with ':VARIANT' behind it if wanted."
)
WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run; the same run is resumed."
)
DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of tensorflow-datasets; its own default if not given."
)
STRATEGY = flags.DEFINE_enum(
    "strategy",
    "auto",
    strategy.STRATEGIES,
    "Devices; auto takes all GPUs, and the cluster of TF_CONFIG if there is one.",
)
EVERY = flags.DEFINE_integer(
    "checkpoint_every",
    checkpoints.EVERY,
    "Steps between checkpoints, besides those of each epoch.",
    lower_bound=1,
)
LOG_EVERY = flags.DEFINE_integer(
    "log_every",
    callbacks.STEPS,
    "Steps between the lines of steps.jsonl; 0 for none.",
    lower_bound=0,
)
KEEP = flags.DEFINE_integer(
    "keep", checkpoints.KEPT, "How many checkpoints are kept.", lower_bound=1
)
WAIT = flags.DEFINE_float("wait", strategy.WAIT, "Seconds to wait for absent workers.")
LOGICAL_CPUS = flags.DEFINE_integer(
    "logical_cpus", 1, "Makes one CPU several, to try out --strategy=mirrored."
)
PROFILE = flags.DEFINE_string(
    "profile", None, "START:STOP, steps to trace for TensorBoard and operations.py."
)
INIT_FROM = flags.DEFINE_string(
    "init_from", None, "Run whose weights a new run begins with, or its last_good."
)
CHANGED_DATA = flags.DEFINE_bool(
    "changed_data", False, "Resume with data that are not those of before."
)


def main() -> None:
    strategy.split_cpu(LOGICAL_CPUS.value)
    train(
        CONFIG.value.to_dict(),
        WORKDIR.value,
        data_dir=DATA_DIR.value,
        strategy=STRATEGY.value,
        checkpoint_every=EVERY.value,
        keep=KEEP.value,
        wait=WAIT.value,
        profile=parse_steps(PROFILE.value) if PROFILE.value else None,
        log_every=LOG_EVERY.value,
        init_from=INIT_FROM.value,
        changed_data=CHANGED_DATA.value,
    )


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    command_line.run(main)
