"""Keras' ``compile`` and ``fit`` for models whose loss and measures are their own."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tfcnf.flows.cnf import CNFLayer
from tfcnf.labels.base import Label
from tfcnf.labels.categorical import Categorical
from tfcnf.models.failures import NamesFailures
from tfcnf.precision import inner_optimizer, is_mixed
from tfcnf.tolerances.reinforce import Reinforce
from tfcnf.types import Tensor


class OwnLossModel(NamesFailures, keras.Model):
    """A Keras model with steps of its own, which refuses what they do not keep.

    A failed solve is a `SolverError` from every public method, Keras' own included.

    Attributes:
        labels: their kinds.
    """

    labels: Sequence[Label] = ()

    @property
    def compute_dtype(self) -> str:
        """The type of all but the dynamics, see `tfcnf.precision`."""
        return str(self.variable_dtype)

    named = ("__call__", "evaluate", "predict", "predict_on_batch", "test_on_batch")

    def set_epoch(self, epoch: int) -> None:
        """Tells the model the epoch, counted from 0."""

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: None = None,
        loss_weights: None = None,
        metrics: None = None,
        weighted_metrics: None = None,
        **options: Any,
    ) -> None:
        """As `keras.Model.compile`, without losses and metrics: the model has its own.

        Raises:
            ValueError: for a loss, metrics, ``jit_compile=True`` where XLA does not
                compile the training step, or a loss scale without half precision.
        """
        given = {
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
        }
        for name, value in given.items():
            if value:
                raise ValueError(
                    "the loss and the measures are the model's own; compile takes "
                    f"none. Received: {name}={value!r}"
                )
        # never by itself, as Keras' "auto" on GPUs would
        options["jit_compile"] = options.get("jit_compile") is True
        if options["jit_compile"]:
            self._allow_xla()
        super().compile(optimizer, **options)
        if self.jit_compile:  # XLA creates no variables
            self.optimizer.build(self.trainable_variables)
        scaled = inner_optimizer(self.optimizer) is not self.optimizer
        fixed = getattr(self.optimizer, "loss_scale_factor", None)
        if fixed or (scaled and not is_mixed(self.dtype_policy)):
            raise ValueError(
                "the loss is scaled by a LossScaleOptimizer, under a mixed policy. "
                f"Received: dtype={self.dtype_policy.name}, "
                f"optimizer={self.optimizer.name} with a loss scale"
            )

    def _allow_xla(self) -> None:
        """Lets Keras compile the training step with XLA, or refuses to."""
        layers = self._flatten_layers()
        gradients = [x.gradient for x in layers if isinstance(x, CNFLayer)]
        if not gradients:
            raise ValueError(
                "XLA compiles the training steps of flows of CNFs alone; leave "
                "jit_compile out. Received: jit_compile=True"
            )
        for gradient in gradients:
            if not gradient.compiles:
                raise ValueError(
                    "XLA compiles the training step with gradient='adjoint' alone. "
                    f"Received: jit_compile=True, gradient={str(gradient)!r}"
                )
        for layer in layers:
            if isinstance(layer, Reinforce) and layer.gap:
                raise ValueError(
                    "XLA does not compile gates that pay for their gap; give "
                    "reinforce={'gap': 0.0}. "
                    f"Received: jit_compile=True, gap={layer.gap}"
                )
        for layer in layers:  # else Keras warns and leaves XLA out
            layer.supports_jit = True

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a model that was loaded."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    @functools.wraps(keras.Model.fit)
    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """As `keras.Model.fit`; tells the model the epoch."""
        call = inspect.signature(keras.Model.fit).bind(self, *args, **kwargs)
        self._check_class_weight(call.arguments.get("class_weight"))
        self._warn_if_frozen()
        callbacks = call.arguments.get("callbacks")
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks.append(_TellEpoch(self))
        else:
            alone = isinstance(callbacks, keras.callbacks.Callback)
            given = [callbacks] if alone else callbacks or ()
            call.arguments["callbacks"] = [_TellEpoch(self), *given]
        return super().fit(*call.args[1:], **call.kwargs)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """As `keras.Model.train_on_batch`."""
        self._check_class_weight(class_weight)
        return super().train_on_batch(x, y, sample_weight, class_weight, return_dict)

    def _check_class_weight(self, class_weight: Mapping[int, float] | None) -> None:
        if not class_weight:
            return
        label = self.labels[0] if len(self.labels) == 1 else None
        if not isinstance(label, Categorical):
            raise ValueError(
                "class_weight needs labels that are one class an example; give "
                f"sample_weight. Received: class_weight={dict(class_weight)}"
            )
        known = range(label.num_classes)
        if not set(class_weight) <= set(known):
            raise ValueError(
                f"class_weight must be for classes 0..{known[-1]}. "
                f"Received: class_weight={dict(class_weight)}"
            )

    def _warn_if_frozen(self) -> None:
        if not self.trainable_variables:
            warnings.warn("the model has no trainable weights", stacklevel=3)


class _TellEpoch(keras.callbacks.Callback):
    def __init__(self, told: OwnLossModel):
        super().__init__()
        self.told = told

    def on_epoch_begin(self, epoch: int, logs: dict[str, Tensor] | None = None) -> None:
        self.told.set_epoch(epoch)
