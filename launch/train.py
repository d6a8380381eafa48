"""Trains a flow, or resumes its training, and evaluates it.

    python launch/train.py --config=configs/digits.py --workdir=runs/digits

Any value of the configuration can be given behind its name, for instance
--config.model.tol=1e-4 --config.training.epochs=5, and variants of a configuration
behind a colon: --config=configs/digits.py:model=ccnf,smoke.
"""

from absl import flags
from ml_collections import config_flags

from tfcnf import command_line, experiment
from tfcnf.training.strategy import STRATEGIES
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
    "strategy", "auto", STRATEGIES, "Devices; auto mirrors over several GPUs."
)
PROFILE = flags.DEFINE_string(
    "profile", None, "START:STOP, steps to trace for TensorBoard and launch/profile.py."
)


def main() -> None:
    experiment.train(
        CONFIG.value.to_dict(),
        WORKDIR.value,
        DATA_DIR.value,
        STRATEGY.value,
        parse_steps(PROFILE.value) if PROFILE.value else None,
    )


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    command_line.run(main)
