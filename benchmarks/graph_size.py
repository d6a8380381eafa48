"""The size of a traced function: nodes by the room that made them, functions."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGE = f"{Path(__file__).parents[1] / 'tfcnf'}/"
OPTIMIZER = "keras/src/optimizers"


def graph_size(concrete: Any) -> dict[str, Any]:
    """Nodes and functions of a traced function and of all that it calls.

    A function that is called at several places counts once. The nodes of the rooms are
    those of the graphs that the function calls and does not differentiate; what
    TensorFlow rewrites for a gradient is in the total alone.

    Args:
        concrete: from ``tf.function(...).get_concrete_function``.

    Returns:
        ``nodes``, ``functions`` and ``rooms``, nodes by room.
    """
    definition = concrete.graph.as_graph_def()
    functions = definition.library.function
    rooms: collections.Counter[str] = collections.Counter()
    for graph in _graphs(concrete.graph, set()):
        rooms.update(_room(operation) for operation in graph.get_operations())
    return {
        "nodes": len(definition.node) + sum(len(f.node_def) for f in functions),
        "functions": len(functions),
        "rooms": dict(rooms.most_common()),
    }


def _graphs(graph: Any, seen: set[str]) -> Iterator[Any]:
    yield graph
    for name, function in graph._functions.items():
        inner = getattr(function, "graph", None)
        if name not in seen and inner is not None:
            seen.add(name)
            yield from _graphs(inner, seen)


def _room(operation: Any) -> str:
    """The part of the package whose line, the innermost one, made an operation."""
    for frame in reversed(operation.traceback or ()):
        if OPTIMIZER in frame.filename:
            return "optimizer"
        if frame.filename.startswith(PACKAGE):
            return frame.filename[len(PACKAGE) :].split("/")[0].removesuffix(".py")
    return "other"
