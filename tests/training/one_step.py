"""One step on a global batch of eight, in float64 and without noise that differs.

    python one_step.py STRATEGY OUT LOGICAL_CPUS

The images are dequantized already and the trace is exact, so that the only noise is
that of the learned tolerances, which all replicas share. Learning rate 1 makes the
change of the weights the gradient. ``price=0`` leaves the number of evaluations out of
the gates' objective: each replica's solver chooses its own steps. The end times of the
solves are random, and the same on all replicas.
"""

import sys

import keras
import numpy as np

from tfcnf.data.source import DataSource, Split
from tfcnf.models.infocnf import InfoCNF
from tfcnf.training.loop import run_epochs
from tfcnf.training.strategy import cluster_of, get_strategy, split_cpu

OPTIONS = {
    **{"num_levels": 17, "alpha": 0.05, "num_scales": 1, "flows_per_block": 2},
    **{"filters": 2, "hidden_layers": 1, "seed": 0, "trace": "exact", "dropout": 0.0},
    **{"policy": "learned", "tol": 1e-9, "dtype": "float64"},
    **{"costs": {"kinetic_energy": 0.1}, "steer": 0.2},
    "policy_options": {"low": 1e-11, "high": 1e-7},
    "reinforce": {"price": 0.0, "baseline": "none"},
}
MEASURES = ("loss", "bits_per_dim", "error", "kinetic_energy")


def float_images():
    rng = np.random.default_rng(0)
    x = rng.uniform(0.1, 0.9, [8, 4, 4, 1])
    split = Split(x, rng.integers(0, 3, [8, 1], np.int32))
    return DataSource("floats", split, split, (3,), 17)


def one_step(scope):
    """Gradients of the weights and of the gates, tolerances, and measures."""
    with scope.scope():
        model = InfoCNF((4, 4, 1), 3, **OPTIONS)
        model.compile(keras.optimizers.SGD(1.0))
    gates = {id(weight) for weight in model.gate_weights}
    weights = [w for w in model.trainable_variables if id(w) not in gates]
    before = [weight.numpy() for weight in weights]
    run_epochs(model, float_images(), scope, 8, 1)
    pairs = zip(before, weights, strict=True)
    moments = [
        v.numpy()
        for v in model.reinforce.optimizer.variables
        if v.path.endswith("_momentum")
    ]
    measures = {m.name: float(m.result()) for m in model.metrics}
    return {
        "gradient": np.concatenate([(a - b.numpy()).ravel() for a, b in pairs]),
        "gates": np.concatenate([m.ravel() for m in moments]),
        "tolerances": np.array([measures[f"log10_tol/cnf_{i:02d}"] for i in range(2)]),
        "measures": np.array([measures[name] for name in MEASURES]),
    }


if __name__ == "__main__":
    split_cpu(int(sys.argv[3]))
    strategy = get_strategy(sys.argv[1], wait=120)
    results = one_step(strategy)
    np.savez(f"{sys.argv[2]}_{cluster_of(strategy).rank}.npz", **results)
