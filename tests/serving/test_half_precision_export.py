"""Exports of models whose dynamics are in half precision."""

import numpy as np

from tfcnf import CNF
from tfcnf.serving.export import make_module

X = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
OPTIONS = {"filters": 8, "hidden_layers": 2, "flows_per_block": 1, "seed": 0}


def test_an_export_computes_in_the_policy_of_its_model():
    model = CNF((2,), **OPTIONS, dtype="mixed_bfloat16")
    for weight in model.flow.trainable_variables:
        weight.assign(4.0 * weight)
    full = CNF((2,), **OPTIONS)
    full.set_weights(model.get_weights())
    module = make_module(model, None, tol=1e-2)
    served = module.functions["encode"](X)["code_unitless"].numpy()
    np.testing.assert_allclose(served, model.encode(X, tol=1e-2), atol=1e-6)
    assert np.abs(served - full.encode(X, tol=1e-2)).max() > 1e-4
    assert served.dtype == np.float32
