"""Starts trainings that differ between the workers, and writes what they are told.

python disagree.py OUT DATA_DIR
"""

import dataclasses
import json
import sys
from pathlib import Path

from tfcnf.runs import experiment
from tfcnf.runs.config import default_config
from tfcnf.training.cluster import read_cluster


def failure(config, workdir):
    try:
        experiment.train(
            config, workdir, data_dir=sys.argv[2], strategy="multi_worker", wait=120
        )
    except ValueError as error:
        return str(error)


def with_other_order(config, data_dir):
    source = read_source(config, data_dir)
    x = source.train.x[::-1] if rank else source.train.x
    return dataclasses.replace(source, train=dataclasses.replace(source.train, x=x))


if __name__ == "__main__":
    out, rank = Path(sys.argv[1]), read_cluster().rank
    read_source = experiment.read_source
    other = default_config() | {"seed": rank}
    other["training"] = other["training"] | {"batch_size": 100 + rank}
    told = [failure(other, str(out / f"run_{rank}"))]
    experiment.read_source = with_other_order
    told.append(failure(default_config(), str(out / "run")))
    (out / f"{rank}.json").write_text(json.dumps(told))
