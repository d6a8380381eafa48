"""Answers about the rows of a table, whoever gives them."""

import types

import numpy as np
import pandas as pd
import pytest

from tfcnf import Categorical, Column, Real
from tfcnf.serving.row_answers import answer_rows

LABELS = [Categorical(2, ("no", "yes"), title="smokes"), Real(1, title="age")]


def model(found):
    return types.SimpleNamespace(
        columns=[Column("income")],
        context=(),
        labels=LABELS,
        predict=lambda x, context: np.asarray(found),
    )


@pytest.mark.parametrize("taken", ["predicted_age_low", "predicted_smokes"])
def test_a_number_has_its_interval_beside_it_and_a_class_its_name(taken):
    found = [[[1.0, np.nan, np.nan], [40.0, 30.0, 50.0]]]
    frame = pd.DataFrame({"income": [2.0]})
    answers = answer_rows(model(found), frame, ["labels"], 1)
    assert answers.to_dict("records") == [
        {
            "income": 2.0,
            "predicted_smokes": "yes",
            "predicted_age": 40.0,
            "predicted_age_low": 30.0,
            "predicted_age_high": 50.0,
        }
    ]
    with pytest.raises(ValueError, match=f"rename it. Received: columns {taken}"):
        answer_rows(model(found), frame.assign(**{taken: 1}), ["labels"], 1)
