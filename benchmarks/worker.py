"""One contender in a process of its own, driven by lines of JSON on its input.

    python -m benchmarks.worker CONTENDER ARRAYS.npz SIZE TOL

It answers each line ``forward``, ``step`` or ``outputs FILE.npz`` with a line of JSON:
the seconds that it took by the clock and of all threads (``cpu``), and evaluations.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

from benchmarks.network import Size


def make(contender: str, size: Size, arrays: Any, tol: float) -> Any:
    """A contender by name: ``tfcnf:GRADIENT``, ``torch``, ``torch:seminorm``, ...

    Raises:
        ImportError: where its packages are not installed.
    """
    family, _, option = contender.partition(":")
    if family == "tfcnf":
        from benchmarks.tfcnf_contender import TfcnfContender

        if option == "float64":
            return TfcnfContender(
                size, arrays, tol=tol, gradient="checkpoint", dtype="float64"
            )
        return TfcnfContender(size, arrays, tol=tol, gradient=option)
    if family == "torch":
        from benchmarks.torch_contender import TorchContender

        if option == "float64":
            return TorchContender(size, arrays, tol=tol, seminorm=True, dtype="float64")
        return TorchContender(size, arrays, tol=tol, seminorm=option == "seminorm")
    from benchmarks.diffrax_contender import DiffraxContender

    return DiffraxContender(size, arrays, tol)


def main(contender: str, path: str, size: str, tol: str) -> None:
    """Answers lines until the input ends."""
    with np.load(path) as arrays:
        worker = make(contender, Size(*json.loads(size)), dict(arrays), float(tol))
    for line in sys.stdin:
        command, _, target = line.strip().partition(" ")
        start, cpu = time.perf_counter(), time.process_time()
        if command == "outputs":
            z, log_det, nfe = worker.forward()
            gradients, nfe_backward = worker.step()
            flat = np.concatenate([np.ravel(g) for g in gradients])
            np.savez(target, z=z, log_det=log_det, gradient=flat)
            answer = {"nfe_forward": nfe, "nfe_backward": nfe_backward}
        else:
            getattr(worker, command)()
            answer = {}
        answer["seconds"] = time.perf_counter() - start
        answer["cpu"] = time.process_time() - cpu
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
