"""Certificates of loosely and of tightly trained flows, by seed.

    python -m benchmarks.certificates --seeds=20 --out=certificates.json

Trains flows of the mixture on the line, two of each seed: one whose gates begin at
tolerance 1e-1 and pay for evaluations, without a bound and without a cost of the gap,
and one at 1e-5. A certificate is made of each. A run that was stopped goes on from the
file.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import keras
from absl import flags

import tfcnf
from tfcnf.data import mixture1d
from tfcnf.data.source import DataSource
from tfcnf.diagnostics import Certificate
from tfcnf.files import replace_file

FLAGS = flags.FlagValues()  # its own: several of these modules may be imported
SEEDS = flags.DEFINE_integer("seeds", 20, "trainings of each kind", flag_values=FLAGS)
EPOCHS = flags.DEFINE_integer("epochs", 40, "of a training", flag_values=FLAGS)
OUT = flags.DEFINE_string("out", "certificates.json", "of figures", flag_values=FLAGS)
PRICE = 0.1  # nats for an evaluation
NETWORK: dict[str, Any] = {
    "filters": 32,
    "hidden_layers": 2,
    "flows_per_block": 1,
    "activation": "tanh",
    "time": "concatsquash",
    "trace": "exact",
}
KINDS: dict[str, dict[str, Any]] = {
    "loose": {
        "tol": 1e-1,
        "policy": "learned",
        "policy_options": {"high": 1.0},
        "reinforce": {"price": PRICE},
    },
    "tight": {"tol": 1e-5},
}


def trained(kind: str, seed: int, data: DataSource, epochs: int) -> tfcnf.CNF:
    """A small flow of the kind, trained."""
    model = tfcnf.CNF(data.event_shape, seed=seed, **NETWORK | KINDS[kind])
    model.compile(optimizer=keras.optimizers.Adam(5e-3))
    keras.utils.set_random_seed(seed)  # of the order of the examples
    model.fit(data.train.x, batch_size=400, epochs=epochs, verbose=0)
    return model


def certify(model: tfcnf.CNF, data: DataSource) -> dict[str, Any]:
    """The certificate of a model: is it a warning, its words, and its CPU seconds."""
    begun = time.process_time()
    certificate = Certificate()
    measures = dict(certificate.measures(certificate.compute(model, data)))
    said = certificate.verdict(measures)
    return {
        "warned": any(sentence.startswith("Warning") for sentence in said),
        "verdict": said,
        "cpu": time.process_time() - begun,
    }


def main() -> None:
    """Trains and certifies what is not yet in the file, and prints the counts."""
    out, data = Path(OUT.value), mixture1d.load()
    found = json.loads(out.read_text()) if out.exists() else {}
    for seed in range(SEEDS.value):
        for kind in KINDS:
            key = f"{kind}/{seed}"
            if key not in found:
                model = trained(kind, seed, data, EPOCHS.value)
                found[key] = certify(model, data)
                with replace_file(out) as path:
                    path.write_text(json.dumps(found, indent=1))
                print(key, *found[key]["verdict"], flush=True)
    for kind in KINDS:
        warned = [row["warned"] for key, row in found.items() if key.startswith(kind)]
        print(f"{kind}: warned of {sum(warned)} of {len(warned)}")


if __name__ == "__main__":
    FLAGS(sys.argv)
    main()
