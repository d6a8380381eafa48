"""Public methods of flow models: densities, classes, codes, samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfcnf.checks import check_choice, check_level
from tfcnf.models.distribution import FlowBijector, FlowDistribution
from tfcnf.models.passes import Passes
from tfcnf.models.trajectory import check_times, positions
from tfcnf.types import On, Tensor

POSTERIORS = ("discriminative", "generative")


class Inference(Passes):
    """The public methods, for `InfoCNF` and its presets."""

    def log_prob(
        self,
        x: Any,
        y: Any = None,
        *,
        context: Any = None,
        tol: float | None = None,
        seed: int = 0,
        exact: bool = False,
        batch_size: int | None = None,
        steps: str = "shared",
    ) -> Tensor:
        """log p(x | y), or log p(x | y, context), ``[B]`` nats.

        For images it is the log-density of the dequantized image; it is -inf for
        images outside the support, see `tfcnf.flows.dequantize.Dequantize`.
        `tfcnf.losses.bits_per_dim` turns it into bits/dim.

        Args:
            x: examples ``[B, *event_shape]``.
            y: labels; not needed at supervised_fraction 0.
            context: condition of each example, ``[B, *shape]``, or one for all,
                ``[*shape]``; of a model that has one.
            tol: solver tolerance instead of the layers' own.
            seed: fixes dequantization and trace noise.
            exact: take the exact trace, whatever the layers have; of images as
                floats the result is then without noise.
            batch_size: examples solved, and held in memory, at a time; all if None.
                The noise is the same in either case.
            steps: ``"shared"``: one step size for all, and noise for each place in the
                batch. ``"each"``: steps of its own, and the same noise, for each
                example, so that its answer is, to the bit, the same alone and in any
                batch; see `tfcnf.ode.each`. It has no gradient.

        Raises:
            ValueError: for ``"each"`` where a solver does not keep its steps, or where
                tolerances are learned, which are a whole batch's, and none is given.
        """

        def nats(rows: Tensor, context: Any, x: Any, y: Any = None) -> list[Tensor]:
            control = self._control(tol, seed, exact, rows, steps)
            out = self._encode(x, control, context=context)
            if self.is_supervised:
                y = self._read_labels(y)
            return [self.log_density(out, y)]

        inputs = [x, y] if self.is_supervised else [x]
        return self._in_batches(
            nats, inputs, context, batch_size, [self._spec()], steps
        )[0]

    def marginal_log_prob(
        self,
        x: Any,
        tol: float | None = None,
        *,
        context: Any = None,
        seed: int = 0,
        exact: bool = False,
        batch_size: int | None = None,
        steps: str = "shared",
    ) -> Tensor:
        """log p(x) with the labels marginalised (InfoCNF App. G), ``[B]`` nats.

        Its arguments are those of `log_prob`.

        Raises:
            ValueError: for a label whose distribution is not stated.
        """

        def nats(rows: Tensor, context: Any, x: Any) -> list[Tensor]:
            control = self._control(tol, seed, exact, rows, steps)
            return [self.log_density(self._encode(x, control, context=context))]

        return self._in_batches(nats, [x], context, batch_size, [self._spec()], steps)[
            0
        ]

    def classify(
        self,
        x: Any,
        posterior: str = "discriminative",
        *,
        context: Any = None,
        tol: float | None = None,
        seed: int = 0,
        batch_size: int | None = None,
        steps: str = "shared",
    ) -> Tensor | list[Tensor]:
        """Class probabilities ``[B, K]``; a list of them for several labels of classes.

        They are NaN for images outside the support. Labels that are not classes are
        left out; `predict_labels` gives them.

        Args:
            x: examples ``[B, *event_shape]``.
            posterior: ``"discriminative"`` for the classifier q_theta(z_y), or
                ``"generative"`` for p(y | x) by Bayes' rule from the mixture.
            context: see `log_prob`.
            tol: solver tolerance instead of the layers' own.
            seed: fixes the dequantization noise.
            batch_size: see `log_prob`.
            steps: see `log_prob`.

        Raises:
            ValueError: for a model without a label that is a class, or for an unknown
                posterior.
        """
        check_choice("posterior", posterior, POSTERIORS)
        classes = self.reader.classes if self.labels else []
        if not classes:
            raise ValueError(
                "classes are of a model with a label of classes; predict_labels gives "
                "other labels. "
                f"Received: labels={[label.describe() for label in self.labels]}"
            )

        def probabilities(rows: Tensor, context: Any, x: Any) -> list[Tensor]:
            control = self._control(tol, seed, rows=rows, steps=steps)
            z = self._encode(x, control, On(), context).code
            return [tf.nn.softmax(s) for s in self.class_scores(z, posterior)]

        specs = [self._spec(label.num_classes) for label in classes]
        found = self._in_batches(probabilities, [x], context, batch_size, specs, steps)
        return found[0] if len(found) == 1 else found

    def class_scores(self, z: Tensor, posterior: str) -> list[Tensor]:
        """Logits of the class probabilities of codes, ``[B, K]`` a label of classes.

        Args:
            z: codes ``[B, D]``.
            posterior: see `classify`.
        """
        if posterior == "generative":
            return self.prior.class_log_probs(z)
        return self.reader.logits(z)

    def predict_labels(
        self,
        x: Any,
        tol: float | None = None,
        seed: int = 0,
        batch_size: int | None = None,
        *,
        level: float | None = None,
        context: Any = None,
        steps: str = "shared",
    ) -> Tensor:
        """Label values read from examples by q_theta, ``[B, columns]``.

        Numbers come in their own units, classes by their number, and 0 or 1 as the
        probability of 1. They are NaN for images outside the support.

        With ``level`` the answer is ``[B, columns, 3]``: the value, and the lower and
        upper end of the interval that has this probability, NaN for what is no number.

        Args:
            x: examples ``[B, *event_shape]``.
            tol: solver tolerance instead of the layers' own.
            seed: fixes the dequantization noise.
            batch_size: see `log_prob`.
            level: probability of an interval beside each value, or None.
            context: see `log_prob`.
            steps: see `log_prob`.

        Raises:
            ValueError: for a model without labels, or a level out of range.
        """
        if not self.is_supervised:
            raise ValueError(
                "a model without labels cannot predict them. "
                f"Received: supervised_fraction={self.supervised_fraction}"
            )

        if level is not None:
            check_level(level)
        shape = [sum(label.columns for label in self.labels)] + [3] * bool(level)

        def values(rows: Tensor, context: Any, x: Any) -> list[Tensor]:
            control = self._control(tol, seed, rows=rows, steps=steps)
            z = self._encode(x, control, On(), context).code
            outside = tf.reduce_any(tf.math.is_nan(z), 1)
            outside = tf.reshape(outside, [-1] + [1] * len(shape))
            reader = self.reader
            found = reader.intervals(z, level) if level else reader.estimates(z)
            return [tf.where(outside, tf.cast(math.nan, found.dtype), found)]

        specs = [self._spec(*shape)]
        return self._in_batches(values, [x], context, batch_size, specs, steps)[0]

    def encode(
        self,
        x: Any,
        tol: float | None = None,
        seed: int = 0,
        batch_size: int | None = None,
        *,
        context: Any = None,
        steps: str = "shared",
    ) -> Tensor:
        """Codes ``[B, D]`` of examples; NaN for images outside the support.

        Its arguments are those of `log_prob`.
        """

        def codes(rows: Tensor, context: Any, x: Any) -> list[Tensor]:
            control = self._control(tol, seed, rows=rows, steps=steps)
            return [self._encode(x, control, On(), context).code]

        specs = [self._spec(self.num_dims)]
        return self._in_batches(codes, [x], context, batch_size, specs, steps)[0]

    def decode(
        self,
        z: Any,
        tol: float | None = None,
        batch_size: int | None = None,
        *,
        context: Any = None,
        steps: str = "shared",
    ) -> Tensor:
        """Examples of codes ``[B, D]``; of codes that are not finite NaN.

        Images come as floats of the model's support, black 0 and white 1, and a little
        beyond, see `tfcnf.flows.dequantize.Dequantize`. For ``steps`` see `log_prob`.
        """

        def examples(rows: Tensor, context: Any, z: Any) -> list[Tensor]:
            return [self._decode(z, self._control(tol, 0, steps=steps), context)]

        specs = [self._spec(*self.event_shape)]
        return self._in_batches(examples, [z], context, batch_size, specs, steps)[0]

    def sample(
        self,
        y: Any,
        seed: int = 0,
        temperature: float = 1.0,
        tol: float | None = None,
        batch_size: int | None = None,
        *,
        context: Any = None,
        steps: str = "shared",
    ) -> Tensor:
        """Draws one example for each label, ``[B, *event_shape]``.

        Args:
            y: label values ``[B]`` or ``[B, columns]``; for a model without labels the
                number of samples.
            seed: the same seed gives the same samples.
            temperature: factor on the deviations of the code; 1 samples the model.
            tol: solver tolerance instead of the layers' own.
            batch_size: see `log_prob`.
            steps: see `log_prob`.
            context: condition of each sample, or one for all, see `log_prob`.

        Raises:
            ValueError: for a number where labels are meant, or labels for a number.
        """
        if not self.is_supervised:
            y = np.zeros([_count(y), 0], np.int32)
        elif isinstance(y, (int, np.integer)):
            columns = sum(label.columns for label in self.labels)
            raise ValueError(
                "a model with labels takes the labels of the samples, not their "
                f"number: labels must have shape [batch, {columns}]. Received: y={y}"
            )

        def examples(rows: Tensor, context: Any, y: Any) -> list[Tensor]:
            y = self._read_labels(y)
            first = None if rows is None else rows[0]
            z = self.prior.sample(y, tf.constant([seed, 1]), temperature, first)
            return [self._decode(z, self._control(tol, 0, steps=steps), context)]

        specs = [self._spec(*self.event_shape)]
        return self._in_batches(examples, [y], context, batch_size, specs, steps)[0]

    def trajectory(
        self,
        x: Any,
        times: Any,
        inverse: bool = False,
        tol: float | None = None,
        *,
        context: Any = None,
    ) -> Tensor:
        """z(t) at T times, on the way from examples to codes or back.

        Args:
            x: examples ``[B, *event_shape]``, or with ``inverse`` codes ``[B, D]``.
            times: T numbers in [0, 1]: 0 is at the examples, 1 at the codes, and each
                of the N CNFs takes 1/N of the time, see `tfcnf.models.trajectory`.
            inverse: whether to go from codes to examples.
            tol: solver tolerance instead of the layers' own.
            context: see `log_prob`.

        Returns:
            ``[B, T, D]``, or with ``inverse`` ``[B, T, *event_shape]``.

        Raises:
            ValueError: for times outside [0, 1], or a wrong shape.
        """
        return positions(
            self,
            x,
            times=check_times(times),
            inverse=inverse,
            control=self._control(tol, 0),
            context=context,
        )

    def distribution(
        self,
        y: Any = None,
        tol: float | None = None,
        seed: int = 0,
        exact: bool = False,
        *,
        context: Any = None,
    ) -> FlowDistribution:
        """p(x | y), or p(x) without labels, as a `tfd.Distribution`.

        Its batch shape is that of the labels and its event shape that of an example;
        its ``bijector`` turns codes into examples. The space is continuous: images are
        floats in [0, 1], densities those of dequantized images in nats.

        Args:
            y: label values: of one example ``[]`` (for several columns ``[columns]``),
                or ``[B]`` or ``[B, columns]``; None marginalises them.
            tol: solver tolerance instead of the layers' own.
            seed: fixes the trace noise.
            exact: as in `log_prob`.
            context: condition of all examples, ``[*shape]``; others are given as
                ``bijector_kwargs={"context": c}``, see `FlowBijector`.
        """
        bijector = FlowBijector(
            self.flow,
            self.event_shape,
            self._control(tol, seed, exact),
            condition=self.condition,
            context=context,
        )
        if y is None:
            return FlowDistribution(self.prior.marginal(), bijector)
        y = tf.convert_to_tensor(y)
        single = y.shape.rank == int(sum(label.columns for label in self.labels) > 1)
        y = self._read_labels(y[None] if single else y)
        code = self.prior.distribution(y)
        return FlowDistribution(code[0] if single else code, bijector)


def _count(number: Any) -> int:
    if not isinstance(number, (int, np.integer)) or number < 0:
        raise ValueError(
            "a model without labels draws a number of samples, from 0. "
            f"Received: y={number}"
        )
    return int(number)
