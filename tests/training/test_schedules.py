import keras
import numpy as np
import pytest

from tfcnf.training.schedules import WarmupPiecewise, learning_rate


def rates(schedule, steps):
    return np.array([float(schedule(step)) for step in steps])


def test_warm_up_is_linear_and_drops_divide_by_ten():
    schedule = WarmupPiecewise(2.0, warmup_steps=4, drops=(6, 9))
    expected = [0.5, 1, 1.5, 2, 2, 2, 0.2, 0.2, 0.2, 0.02, 0.02]
    np.testing.assert_allclose(rates(schedule, range(11)), expected, rtol=1e-5)


def test_without_warm_up_the_first_step_has_the_base_rate():
    np.testing.assert_allclose(rates(WarmupPiecewise(3e-3), [0, 1, 10**6]), 3e-3)


def test_a_drop_within_the_warm_up_counts():
    schedule = WarmupPiecewise(1.0, warmup_steps=10, drops=(5,))
    np.testing.assert_allclose(
        rates(schedule, [4, 5, 9, 10]), [0.5, 0.06, 0.1, 0.1], rtol=1e-5
    )


def test_piecewise_by_name_is_warmup_piecewise():
    schedule = learning_rate(0.5, 100, warmup_steps=2, decay="piecewise", drops=[3])
    np.testing.assert_allclose(
        rates(schedule, range(5)), [0.25, 0.5, 0.5, 0.05, 0.05], rtol=1e-5
    )


def test_cosine_warms_up_and_ends_at_zero():
    schedule = learning_rate(0.4, total_steps=110, warmup_steps=10, decay="cosine")
    steps = np.arange(111)
    warm = 0.4 * steps / 10
    cosine = 0.2 * (1 + np.cos(np.pi * (steps - 10) / 100))
    expected = np.where(steps < 10, warm, cosine)
    np.testing.assert_allclose(rates(schedule, steps), expected, atol=1e-6)


def test_cosine_without_warm_up_starts_at_the_base_rate():
    schedule = learning_rate(0.4, total_steps=100, decay="cosine")
    expected = [0.4, 0.2, 0.0]
    np.testing.assert_allclose(rates(schedule, [0, 50, 100]), expected, atol=1e-6)


@pytest.mark.parametrize("base", [0, -1e-3, float("nan")])
def test_a_rate_that_is_not_positive_is_refused(base):
    with pytest.raises(ValueError, match=f"Received: base={base!r}"):
        WarmupPiecewise(base)


@pytest.mark.parametrize("drops", [(3, 2), (2, 2)])
def test_drops_that_do_not_increase_are_refused(drops):
    with pytest.raises(ValueError, match=r"increasing. Received: drops="):
        WarmupPiecewise(1.0, drops=drops)


def test_the_schedule_is_saved_with_an_optimizer():
    schedule = WarmupPiecewise(2.0, warmup_steps=4, drops=(6, 9))
    optimizer = keras.optimizers.Adam(schedule)
    saved = keras.saving.serialize_keras_object(optimizer)
    loaded = keras.saving.deserialize_keras_object(saved)
    assert isinstance(loaded._learning_rate, WarmupPiecewise)
    assert loaded._learning_rate.get_config() == schedule.get_config()
    np.testing.assert_array_equal(
        rates(loaded._learning_rate, range(11)), rates(schedule, range(11))
    )


def test_an_unknown_decay_is_named():
    with pytest.raises(ValueError, match=r"cosine, piecewise. Received: decay='step'"):
        learning_rate(0.1, 10, decay="step")
