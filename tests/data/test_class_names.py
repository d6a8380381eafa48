import dataclasses

import pytest


def test_classes_without_names_are_named_by_their_numbers(digits):
    unnamed = dataclasses.replace(digits, class_names=())
    assert unnamed.class_names == (tuple("0123456789"),)


def test_as_many_names_as_classes(digits):
    with pytest.raises(ValueError, match=r"Received: names of \(2,\) classes"):
        dataclasses.replace(digits, class_names=(("even", "odd"),))
