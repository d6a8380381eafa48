import dataclasses

import pytest

from tfcnf.labels.categorical import Categorical


def test_classes_without_names_are_named_by_their_numbers(digits):
    unnamed = dataclasses.replace(digits, labels=(10,))
    assert unnamed.class_names == (tuple("0123456789"),)


def test_as_many_names_as_classes(digits):
    with pytest.raises(ValueError, match="a name for each of 10 classes"):
        dataclasses.replace(digits, labels=(Categorical(10, ("even", "odd")),))
