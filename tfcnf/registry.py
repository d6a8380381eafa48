"""Classes that are found by name, and options that are written as text.

A family of choices (solvers, gradients, traces, tolerance policies) is a base class. A
class joins its family by being defined, so there is no list of names to keep.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from tfcnf.checks import check_choice

IMPORTS = "TFCNF_IMPORTS"  # environment variable, which further processes inherit


class Registered:
    """Base of a family of classes that are found by name.

    ``class Solver(Registered, kind="solver")`` begins a family. A subclass is known by
    its name in lower case, or by ``key="..."``; with ``key=None`` it is not known.

    Attributes:
        kind: name of the family, for messages.
        key: name of the class in its family.
        known: classes of the family by name.

    Raises:
        ValueError: for a class with the name of one that tfcnf brings along.
    """

    kind: ClassVar[str]
    key: ClassVar[str]
    known: ClassVar[dict[str, Any]]

    def __init_subclass__(
        cls, kind: str | None = None, key: str | None = "", **kwargs: Any
    ):
        super().__init_subclass__(**kwargs)
        if kind:
            cls.kind, cls.known = kind, {}
        elif key is not None:
            cls.key = key or cls.__name__.lower()
            taken = cls.known.get(cls.key)
            if taken and taken.__module__ != cls.__module__ and comes_along(taken):
                raise ValueError(
                    f"{cls.kind} has a class of this name; give yours another. "
                    f"Received: class {cls.__name__}, key={cls.key!r}"
                )
            cls.known[cls.key] = cls

    @classmethod
    def find(cls, key: Any) -> Any:
        """The class of this name.

        Raises:
            ValueError: for an unknown name, with those that are known.
        """
        check_choice(cls.kind, key, cls.known)
        return cls.known[key]

    @classmethod
    def options(cls) -> dict[str, Any]:
        """The options of a class of this family, with their defaults."""
        return {}

    @classmethod
    def parse(cls, value: Any) -> tuple[Any, dict[str, Any]]:
        """The class that a text names and the options that it gives.

        Args:
            value: text like ``"tsit5:max_num_steps=500,pi_control=True"``.

        Raises:
            ValueError: for an unknown name or option.
        """
        name, _, text = value.partition(":") if isinstance(value, str) else (value,) * 3
        made = cls.find(name)
        options, known = _parse(cls.kind, value, text), made.options()
        if not set(options) <= set(known):
            raise ValueError(
                f"options of {cls.kind}={name!r} are {', '.join(known) or 'none'}. "
                f"Received: {cls.kind}={value!r}"
            )
        return made, options


class Record(Registered, key=None):
    """Base of frozen dataclasses whose fields are the options of a choice.

    A record is hashable and equal to any other with the same options. ``str`` writes it
    as its name, with the options that are not the default:
    ``tsit5:max_num_steps=500``.
    """

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if "key" in vars(cls):
            import keras

            keras.saving.register_keras_serializable(f"tfcnf.{cls.kind}", cls.key)(cls)

    @classmethod
    def get(cls, value: Any) -> Any:
        """The record of a text; a record is returned as it is.

        Args:
            value: a record of this family, or text like
                ``"tsit5:max_num_steps=500,pi_control=True"``.

        Raises:
            ValueError: for an unknown name or option, or a value out of range.
        """
        if isinstance(value, cls):
            return value
        made, options = cls.parse(value)
        return made(**options)

    @classmethod
    def options(cls) -> dict[str, Any]:
        """The fields, with their defaults."""
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]
        return {field.name: field.default for field in fields}

    def __str__(self) -> str:
        options = [
            f"{field.name}={value!r}"
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
            if (value := getattr(self, field.name)) != field.default
        ]
        return ":".join(filter(None, [self.key, ",".join(options)]))

    def get_config(self) -> dict[str, Any]:
        """The options, for Keras."""
        return dataclasses.asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The record of `get_config`."""
        return cls(**config)


def plain(value: Any) -> Any:
    """A record as text, anything else as it is."""
    return str(value) if isinstance(value, Record) else value


def import_modules(name: str, path: Iterable[str]) -> None:
    """Imports the modules of a package, so that their classes are known.

    Args:
        name: of the package.
        path: its ``__path__``.
    """
    for module in pkgutil.iter_modules(path, f"{name}."):
        importlib.import_module(module.name)


def import_own(names: Iterable[str] = ()) -> None:
    """Imports modules with classes of a user's own, so that they are known by name.

    They are imported in this process and, by `import_own()`, in those that it starts.

    Args:
        names: of modules, or of files that end with ``.py``.

    Raises:
        ValueError: for one that is not there.
    """
    given = [*filter(None, os.environ.get(IMPORTS, "").split(",")), *names]
    own = dict.fromkeys(str(Path(n).resolve()) if _is_file(n) else n for n in given)
    for name in own:
        if not (Path(name).is_file() if _is_file(name) else _is_found(name)):
            raise ValueError(
                "imports must be modules that Python finds, or files that end with "
                f".py. Received: imports={name}"
            )
        if _is_file(name):
            _import_file(Path(name))
        else:
            importlib.import_module(name)
    os.environ[IMPORTS] = ",".join(own)


def _is_file(name: str) -> bool:
    return name.endswith(".py")


def _is_found(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _import_file(path: Path) -> None:
    """Imports a file as the module of its name, once."""
    known = sys.modules.get(path.stem)
    if known is not None and getattr(known, "__file__", None) != str(path):
        raise ValueError(
            f"a module named {path.stem} is there already; give the file another "
            f"name. Received: imports={path}"
        )
    if known is None:
        spec: Any = importlib.util.spec_from_file_location(path.stem, path)
        sys.modules[path.stem] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


def _parse(kind: str, value: str, text: str) -> dict[str, Any]:
    """Options from ``option=value,option=value``; a bare word is text."""
    try:
        call: Any = ast.parse(f"f({text})", mode="eval").body
        if call.args or any(word.arg is None for word in call.keywords):
            raise SyntaxError
        return {
            word.arg: word.value.id
            if isinstance(word.value, ast.Name)
            else ast.literal_eval(word.value)
            for word in call.keywords
        }
    except (SyntaxError, ValueError, AttributeError):
        raise ValueError(
            f"{kind} must be a name, with options like NAME:OPTION=VALUE,OPTION=VALUE. "
            f"Received: {kind}={value!r}"
        ) from None


def comes_along(made: type) -> bool:
    """True for a class of this package, False for one of a user's own."""
    return made.__module__.startswith("tfcnf.")
