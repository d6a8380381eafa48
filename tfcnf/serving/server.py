"""An export behind HTTP: the package mlserver with a runtime for `FlowModule`."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.errors import InferenceError
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput

from tfcnf.checks import asserted


class FlowRuntime(MLModel):
    """A runtime of mlserver that answers with the functions of an export.

    A request of the open inference protocol (version 2) names the function in
    ``parameters.signature_name`` and its inputs by name, with shapes as the model card
    lists them; images in files are ``BYTES`` with the content type ``base64``. What is
    refused ends with status 400 and one line. One request is computed at a time, so
    that memory does not grow with their number.

    Raises:
        InferenceError: for a request that cannot be answered (status 400).
    """

    async def load(self) -> bool:
        """Loads the SavedModel of ``parameters.uri``."""
        self._saved = tf.saved_model.load(self.settings.parameters.uri)
        # one thread: a call that lacks an input keeps TensorFlow's lock of a function,
        # for which another thread would wait for ever
        self._worker = ThreadPoolExecutor(max_workers=1)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The outputs of the function that the request names."""
        parameters = payload.parameters.model_dump() if payload.parameters else {}
        name = str(parameters.get("signature_name"))
        if name not in self._saved.signatures:
            known = ", ".join(sorted(self._saved.signatures))
            raise InferenceError(
                f"signature_name must be one of {known}. Received: {name!r}"
            )
        given = {x.name: self._decode(x) for x in payload.inputs}
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._worker, self._answer, name, given)
        return InferenceResponse(
            id=payload.id,
            model_name=self.name,
            outputs=[NumpyCodec.encode_output(key, answer[key]) for key in answer],
        )

    def _decode(self, given: RequestInput) -> Any:
        try:
            return self.decode(given, NumpyCodec)
        except (TypeError, ValueError) as failure:
            raise InferenceError(
                f"{given.name} does not have the shape and type that it states. "
                f"Received: shape={given.shape}, datatype={given.datatype}"
            ) from failure

    def _answer(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        _, specs = self._saved.signatures[name].structured_input_signature
        unknown = sorted(set(given) - set(specs))
        if unknown:
            raise InferenceError(
                f"inputs of {name} must be among {sorted(specs)}. Received: {unknown}"
            )
        try:
            tensors = {k: _tensor(k, v, specs[k].dtype) for k, v in given.items()}
            answer = getattr(self._saved, name)(**tensors)
        except tf.errors.OpError as failure:
            raise InferenceError(asserted(failure)) from None
        except (TypeError, ValueError) as failure:  # an input is left out
            missing = f"inputs of {name} are {sorted(specs)}. Received: {sorted(given)}"
            raise InferenceError(missing) from failure
        return {key: value.numpy() for key, value in answer.items()}


def serve(export_dir: str, *, host: str, port: int) -> None:
    """Answers requests at ``http://HOST:PORT/v2/models/flow/infer`` until it is ended.

    Args:
        export_dir: folder of the SavedModel.
        host: address to listen at.
        port: of HTTP; gRPC takes the next one.

    Raises:
        ValueError: for a folder without an export.
    """
    if not (Path(export_dir) / "saved_model.pb").is_file():
        raise ValueError(
            f"there is no export in the folder. Received: export_dir={export_dir!r}"
        )
    settings = Settings(
        host=host,
        http_port=port,
        grpc_port=port + 1,
        metrics_endpoint=None,
        parallel_workers=0,
        debug=False,
    )
    parameters = ModelParameters(uri=str(Path(export_dir).absolute()))
    model = ModelSettings(
        name="flow", implementation=FlowRuntime, parameters=parameters
    )
    asyncio.run(MLServer(settings).start([model]))


def _tensor(name: str, value: Any, dtype: tf.DType) -> Any:
    try:
        if dtype == tf.string:
            return tf.constant(value, tf.string)
        cast = value.astype(dtype.as_numpy_dtype, casting="same_kind")
        if dtype.is_integer and not np.array_equal(cast, value):
            raise InferenceError(
                f"{name} must be in the range of {dtype.name}. Received: {value.max()}"
            )
        return tf.constant(cast)
    except (AttributeError, TypeError, ValueError):
        raise InferenceError(
            f"{name} must be of type {dtype.name}. "
            f"Received: {getattr(value, 'dtype', type(value).__name__)}"
        ) from None
