import math

import numpy as np

from tfcnf.evaluation.means import Means
from tfcnf.types import Weighted


def test_examples_without_a_label_count_in_no_mean_of_labels():
    means = Means()
    error = np.array([100.0, 0.0, 100.0])
    for known in (np.array([1.0, 0.0, 0.0]), np.array([1.0, 1.0, 0.0])):
        means.add({"bits": np.array([1.0, 2.0, 3.0]), "error": Weighted(error, known)})
    means.add({"nothing": Weighted(error, np.zeros(3))})
    found = dict(means)
    assert found["bits"] == 2.0
    assert found["error"] == 200.0 / 3.0
    assert math.isnan(found["nothing"])
