"""From the columns of a table to numbers of unit size on the whole line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfcnf.data.columns import Column, make_columns
from tfcnf.flows.base import FlowLayer, unsolved
from tfcnf.seeds import fold_in, next_seed, uniform
from tfcnf.types import Control, FlowOutput, Tensor

NOISE = 715_827  # folded into the seed: probes of the first CNF have noise of their own
LEAST = 2.0**-24  # of the noise, so that no integer stands at the end of its interval


@keras.saving.register_keras_serializable("tfcnf")
class Columns(FlowLayer):
    """y = (stretch(x) - mean) / scale of each column, see `tfcnf.data.columns.Column`.

    The log-determinant is that of x -> y, so that densities are in the units of x. An
    integer k becomes k + noise with uniform noise in (0, 1): the interval has length
    one, so that the mean over the noise of the log-density bounds log P(k) from below
    (Theis et al. 2016), and the integral of the density over the interval is P(k).
    What is no integer in such a column is taken as already dequantized, as images that
    are floats are. A noise of `Control.seed` is the same each time.

    The inverse gives integers in such columns, and values within the bounds: what the
    model puts beyond a bound, within the margin, is put on it.

    ```python
    columns = [tfcnf.Column("mass", low=0.0), tfcnf.Column("visits", "integer")]
    out = tfcnf.Columns(columns)(tf.constant([[1.5, 2.0]]))
    ```

    Args:
        columns: a `Column`, its record or a name for each number of x.
        seed: integer seed of the noise.

    Raises:
        ValueError: for columns that are none, or categories.
    """

    def __init__(self, columns: Sequence[Any], seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.columns, self.seed = make_columns(columns), seed
        unfit = [c.name for c in self.columns if c.kind == "category"]
        if unfit or not self.columns:
            raise ValueError(
                "a density needs columns of numbers; categories are labels or "
                f"conditions. Received: columns={unfit}"
            )
        self.seed_generator = keras.random.SeedGenerator(seed)
        ends = np.array([column.ends for column in self.columns])
        self.bounded = np.isfinite(ends)
        self.low, self.high = np.where(self.bounded, ends, 0.0).T
        both = self.bounded.all(1)
        self.length = np.where(both, self.high - self.low, 1.0)
        self.integer = np.array([c.kind == "integer" for c in self.columns])
        self.mean = np.array([column.mean for column in self.columns])
        self.unit = np.array([column.scale for column in self.columns])

    def compute_output_shape(self, shape: Any) -> Any:
        """The shape is unchanged."""
        return shape

    def build(self, shape: Sequence[int | None]) -> None:
        """Checks that there is a column for each number.

        Raises:
            ValueError: for another number of columns.
        """
        if len(shape) != 2 or shape[1] != len(self.columns):
            raise ValueError(
                f"columns are of vectors of {len(self.columns)} numbers. "
                f"Received: event_shape={tuple(shape[1:])}"
            )
        self.built = True

    def call(
        self, x: Tensor, inverse: bool = False, control: Control | None = None
    ) -> FlowOutput:
        """``[B, D]`` values in their own units to numbers of unit size, or back."""
        x = tf.cast(x, self.compute_dtype)
        if inverse:
            return self._undo(x)
        noise = self._noise(x, control)
        above, below = self._gaps(x)
        above, below = self._where_bounded(above + noise, below - noise)
        log_above, log_below = tf.math.log(above), tf.math.log(below)
        line = tf.where(self.bounded.any(1), log_above - log_below, x + noise)
        slope = np.log(self.length) - np.log(self.unit) - log_above - log_below
        return unsolved((line - self.mean) / self.unit, tf.reduce_sum(slope, 1))

    def inside(self, x: Tensor) -> Tensor:
        """Mask of the examples whose values all lie within their ends, ``[B]``."""
        x = tf.cast(x, self.compute_dtype)
        above, below = self._where_bounded(*self._gaps(x))
        fits = (above > 0) & (below > 0)
        # an integer at the lower end is the lower end of its interval
        fits |= self.integer & (above >= 0) & (below > 0)
        return tf.reduce_all(fits & tf.math.is_finite(x), 1)

    @property
    def interior(self) -> Tensor:
        """The values that become 0, ``[D]``."""
        return self._undo(tf.zeros([1, len(self.columns)], self.compute_dtype)).z[0]

    def _gaps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Distances from the lower and to the upper end; exact near each."""
        return x - self.low, self.high - x

    def _where_bounded(self, above: Tensor, below: Tensor) -> tuple[Tensor, Tensor]:
        """The distances, 1 where there is no end."""
        low, high = self.bounded.T
        return tf.where(low, above, 1.0), tf.where(high, below, 1.0)

    def _noise(self, x: Tensor, control: Control | None) -> Tensor:
        """Noise in (0, 1) for whole numbers of integer columns, else 0."""
        if not self.integer.any():
            return tf.zeros_like(x)
        control = control or Control()
        seed = control.seed
        seed = next_seed(self.seed_generator) if seed is None else seed
        shape = tf.shape(x if control.share_noise is None else x[:1])
        first = None if control.rows is None else control.rows[0]
        noise = uniform(shape, fold_in(seed, NOISE), x.dtype, first)
        whole = self.integer & tf.equal(x, tf.floor(x))
        return tf.where(whole, tf.maximum(noise, LEAST), 0.0)

    def _undo(self, y: Tensor) -> FlowOutput:
        line = y * self.unit + self.mean
        low, high = self.bounded.T
        both, none = low & high, tf.zeros_like(line)
        log_above = tf.where(both, tf.math.log_sigmoid(line), tf.where(low, line, none))
        log_below = tf.where(
            both, tf.math.log_sigmoid(-line), tf.where(high, -line, none)
        )
        above, below = (self.length * tf.exp(log) for log in (log_above, log_below))
        # from the nearer end, so that what is close to it stays exact
        upper = high & (~low | (line > 0))
        x = tf.where(upper, self.high - below, tf.where(low, self.low + above, line))
        slope = np.log(self.length) + np.log(self.unit) + log_above + log_below
        return unsolved(self._within(x), tf.reduce_sum(slope, 1))

    def _within(self, x: Tensor) -> Tensor:
        """Whole numbers where they are meant, and none beyond a bound."""
        x = tf.where(self.integer, tf.floor(x), x)
        least, most = zip(*map(self._bounds, self.columns), strict=True)
        ends = (tf.constant(side, x.dtype) for side in (least, most))
        return tf.clip_by_value(x, *ends)

    def _bounds(self, column: Column) -> tuple[Any, Any]:
        """The smallest and the largest value of a column that the inverse gives."""
        kind = np.dtype(self.compute_dtype).type
        low = kind(-np.inf if column.low is None else column.low)
        high = kind(np.inf if column.high is None else column.high)
        if column.kind == "integer" or column.margin > 0:
            return low, high
        # the ends have no density; numbers below the smallest normal one count as 0
        tiny = np.finfo(kind).tiny
        return max(np.nextafter(low, kind(np.inf)), low + tiny), min(
            np.nextafter(high, kind(-np.inf)), high - tiny
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        records = [column.record() for column in self.columns]
        return super().get_config() | {"columns": records, "seed": self.seed}
