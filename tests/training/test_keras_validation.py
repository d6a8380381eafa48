"""Keras' own validation: a split, early stopping with the best weights, checkpoints."""

import keras
import numpy as np
import pytest

X = np.linspace(-1, 1, 8, dtype=np.float32)[:, None]
Y = np.array([0, 1, 1, 0, 1, 1, 1, 0], np.int32)[:, None]
TRAIN, HELD = slice(0, 6), slice(6, 8)  # Keras holds the last rows out


def loss(w, part):
    return np.mean((w * X[part, 0].astype(float) - Y[part, 0]) ** 2)


def descent(rate, epochs):
    """The weight after each epoch of one batch, from 0."""
    w, weights = 0.0, []
    x, y = X[TRAIN, 0].astype(float), Y[TRAIN, 0]
    for _ in range(epochs):
        w -= rate * np.mean(2 * x * (w * x - y))
        weights.append(w)
    return weights


def test_the_split_stops_and_the_best_weights_come_back(make_line, tmp_path):
    rate = 2.5  # to and fro
    weights = descent(rate, 9)
    held = [loss(w, HELD) for w in weights]
    best = int(np.argmin(held))
    last = best + 2
    assert best > 0
    assert last < 8  # it is worth stopping
    model = make_line(rate)
    path = tmp_path / "best.weights.h5"
    calls = [
        keras.callbacks.EarlyStopping(
            "val_loss", patience=2, restore_best_weights=True
        ),
        keras.callbacks.ModelCheckpoint(
            path, "val_loss", save_best_only=True, save_weights_only=True
        ),
    ]
    history = model.fit(
        *(X, Y, 6, 9), verbose=0, validation_split=0.25, callbacks=calls
    ).history
    np.testing.assert_allclose(history["val_loss"], held[: last + 1], rtol=1e-5)
    trained = [loss(w, TRAIN) for w in [0.0, *weights[:last]]]
    np.testing.assert_allclose(history["loss"], trained, rtol=1e-5)
    assert model.w.numpy() == pytest.approx(weights[best], rel=1e-5)
    other = make_line(rate)
    other.load_weights(path)
    assert other.w.numpy() == pytest.approx(weights[best], rel=1e-5)
