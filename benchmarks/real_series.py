"""Real series: class and hidden points by a latent ODE, a GRU, lines and processes.

    pip install "tfcnf[series]"
    python -m benchmarks.real_series --data=japanese_vowels --epochs=200

The latent ODE of `configs/series.py` is trained to explain the points and to tell the
class (``code``), or for the points alone (``none``); a GRU of as many units to tell the
class, for as many epochs. Errors of the class are of whole test series. Then three of
ten points of each test series are hidden, never the first or the last, and distances to
them are root mean squares in deviations of each dimension, beside those of lines
between the points that are left and of a Gaussian process with a smooth kernel and
noise, whose length and sizes are the medians of fits to training series. Both models
see whole series in training.
"""

from __future__ import annotations

import json
import runpy
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from absl import flags

from tfcnf.data.series import Series, SeriesSource, make_series
from tfcnf.data.series_units import SeriesUnits
from tfcnf.data.sktime_series import BUILDERS, load
from tfcnf.models.encoders.encoder import Encoder
from tfcnf.models.latent_ode import LatentODE
from tfcnf.training.schedules import learning_rate

FLAGS = flags.FlagValues()  # its own: several of these modules may be imported
DATA = flags.DEFINE_enum(
    "data", "japanese_vowels", [*BUILDERS], "of the catalog", flag_values=FLAGS
)
EPOCHS = flags.DEFINE_integer(
    "epochs", 200, "passes over the training split", flag_values=FLAGS
)
SEED = flags.DEFINE_integer(
    "seed", 0, "of weights, batches and hidden points", flag_values=FLAGS
)
DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "where prepared data are", flag_values=FLAGS
)
CONFIG = Path(__file__).parents[1] / "configs" / "series.py"
HIDDEN_PART = 0.3
FITTED, FIT_POINTS = 20, 200  # training series, and first points, of the processes' fit


def hide(x: Series, rng: np.random.Generator) -> tuple[Series, np.ndarray]:
    """Series without some of their inner points, and where these are, ``[n, T]``."""
    last = x.times.max(1)[:, None]
    inner = (x.times > 0) & (x.times < last) & (x.mask > 0)
    hidden = inner & (rng.random(inner.shape) < HIDDEN_PART)
    kept = (x.mask > 0) & ~hidden
    return make_series(x.values, x.times, kept), hidden


def lines(x: Series, stamps: np.ndarray) -> np.ndarray:
    """Values ``[n, T, C]`` at times, on lines between the observed points."""
    found = np.zeros([len(x.values), len(stamps), x.values.shape[-1]])
    for i, seen in enumerate(x.mask > 0):
        for k in range(found.shape[-1]):
            at, values = x.times[i, seen], x.values[i, seen, k]
            found[i, :, k] = np.interp(stamps, at, values)
    return found


def gaussian_processes(train: Series, x: Series, stamps: np.ndarray) -> np.ndarray:
    """Posterior means ``[n, T, C]`` at times, of each series given its points."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    def fitted(x: Series, i: int, points: int | None = None, **options: Any) -> Any:
        seen = np.flatnonzero(x.mask[i] > 0)[:points]
        process = GaussianProcessRegressor(normalize_y=True, **options)
        return process.fit(x.times[i, seen, None], x.values[i, seen])

    kernel = ConstantKernel() * RBF() + WhiteKernel(0.1, (1e-9, 10.0))
    some = min(FITTED, len(train.values))
    found = [fitted(train, i, FIT_POINTS, kernel=kernel).kernel_ for i in range(some)]
    kernel = kernel.clone_with_theta(np.median([k.theta for k in found], 0))
    means = [
        fitted(x, i, kernel=kernel, optimizer=None).predict(stamps[:, None])
        for i in range(len(x.values))
    ]
    return np.reshape(means, [len(x.values), len(stamps), -1])


def distance(curves: np.ndarray, x: Series, hidden: np.ndarray) -> float:
    """Root mean square over hidden values, in deviations of each dimension."""
    scale = SeriesUnits.of(x).scale
    return float(np.sqrt(np.square((curves - x.values) / scale)[hidden].mean()))


def fit(model: keras.Model, x: Any, source: SeriesSource, epochs: int) -> keras.Model:
    """Trains a model as `configs/series.py` says, for some epochs."""
    config = read_config("code")
    batch, options = config.training.batch_size, config.optimizer
    total = epochs * -(-len(source.train) // batch)
    rate = learning_rate(
        options.learning_rate,
        total_steps=total,
        warmup_steps=total // 20,
        decay="cosine",
        drops=[],
    )
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=options.clipnorm)
    if isinstance(model, LatentODE):
        model.compile(optimizer)
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss)
    model.fit(x, source.train.y, batch_size=batch, epochs=epochs, verbose=0)
    return model


def read_config(partition: str) -> Any:
    """`configs/series.py`."""
    return runpy.run_path(str(CONFIG))["get_config"](f"partition={partition}")


def latent_ode(source: SeriesSource, partition: str, epochs: int) -> LatentODE:
    """A trained model of `configs/series.py`."""
    keywords: dict[str, Any] = read_config(partition).model.to_dict()
    model = LatentODE(**keywords | source.model_keywords(), seed=SEED.value)
    return fit(model, source.train.x, source, epochs)


def gru(source: SeriesSource, epochs: int) -> keras.Model:
    """A trained classifier with as many units."""
    keras.utils.set_random_seed(SEED.value)
    units = SeriesUnits.of(source.train.x)
    values = keras.Input((None, source.event_shape[-1]))
    mask = keras.Input((None,), dtype="bool")
    scaled = (values - np.array(units.mean)) / np.array(units.scale)
    _, options = Encoder.parse(read_config("code").model.encoder)
    h = keras.layers.GRU(options["units"])(scaled, mask=mask)
    logits = keras.layers.Dense(source.labels[0].num_classes)(h)
    x = source.train.x
    model = keras.Model([values, mask], logits)
    return fit(model, [x.values, x.mask > 0], source, epochs)


def class_error(found: np.ndarray, y: np.ndarray) -> float:
    """Percent of wrong classes ``[n]``."""
    return 100 * float(np.mean(found.ravel() != y[:, 0]))


def main() -> None:
    """Prints the measures of each contender."""
    source = load(DATA.value, DATA_DIR.value)
    x, y = source.test.x, source.test.y
    seen, hidden = hide(x, np.random.default_rng(SEED.value))
    stamps = np.arange(x.values.shape[1], dtype=np.float64)
    processes = gaussian_processes(source.train.x, seen, stamps)
    found: dict[str, dict[str, float]] = {
        "lines": {"hidden": distance(lines(seen, stamps), x, hidden)},
        "Gaussian processes": {"hidden": distance(processes, x, hidden)},
    }
    for partition in ("code", "none"):
        started = time.process_time()
        model = latent_ode(source, partition, EPOCHS.value)
        name = f"latent ODE, {partition}"
        found[name] = {"cpu_seconds": time.process_time() - started}
        for refine in (0, 20):
            curves = model.decode(model.codes(seen, refine), stamps.tolist()).numpy()
            found[name][f"hidden, refine={refine}"] = distance(curves, x, hidden)
        if model.is_supervised:
            classes = model.predict_labels(model.codes(x)).numpy()
            found[name]["class_error"] = class_error(classes, y)
    started = time.process_time()
    classifier = gru(source, EPOCHS.value)
    spent = time.process_time() - started
    logits = classifier.predict([x.values, x.mask > 0], verbose=0)
    error = class_error(logits.argmax(1), y)
    found["GRU"] = {"cpu_seconds": spent, "class_error": error}
    for name, measures in found.items():
        print(name, json.dumps({k: round(v, 3) for k, v in measures.items()}))


if __name__ == "__main__":
    FLAGS(sys.argv)
    main()
