"""Configurations: plain nested dictionaries whose keys are constructor keywords."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfcnf.checks import check_choice
from tfcnf.data import series_frames, table_catalog
from tfcnf.models.build import build_flow
from tfcnf.models.ccnf import CCNF
from tfcnf.models.cnf import CNF
from tfcnf.models.infocnf import InfoCNF
from tfcnf.models.latent_ode import LatentODE
from tfcnf.ode.cost import cost_weights
from tfcnf.tolerances.policy import TolerancePolicy, check_tolerance
from tfcnf.tolerances.reinforce import Reinforce
from tfcnf.training.recovery import Recovery
from tfcnf.training.schedules import DECAYS

MODELS = {"infocnf": InfoCNF, "ccnf": CCNF, "cnf": CNF, "latent_ode": LatentODE}
FRACTIONS = {"infocnf": 0.5, "ccnf": 1.0, "cnf": 0.0}
FROM_DATA = {  # the data decides
    *("event_shape", "labels", "num_levels", "obs_dims", "regular", "columns"),
    *("context_dims", "encode_mask", "units", "whitening"),
}
LEAST = {
    "seed": 0,
    "optimizer.reference_batch": 0,
    "optimizer.warmup_epochs": 0,
    "optimizer.clipnorm": 0,
    "training.epochs": 1,
    "training.accumulation_steps": 1,
    "training.patience": 0,
    "training.honesty": 0,
    "evaluation.batch_size": 1,
    "evaluation.every": 1,
    "evaluation.draws": 1,
}
SMOKE = {  # what makes a configuration of images a matter of seconds, to see it work
    "model": {
        "filters": 4,
        "hidden_layers": 1,
        "flows_per_block": 1,
        "tol": 1e-2,
        "alpha": 0.05,
        "costs": {"kinetic_energy": 0.0},
    },
    "training": {"epochs": 1},
    "evaluation": {"tol": 1e-3, "draws": 1},
}
PAPER_VARIANTS = {
    "model": tuple(MODELS),
    "policy": ("fixed", *(key for key in TolerancePolicy.known if key != "fixed")),
    "batch": (900, 8000),
    "smoke": (False, True),
}
KINDS: dict[type, tuple[Any, str]] = {  # of a default -> what is taken in its place
    bool: (bool, "true or false"),
    int: (int, "an integer"),
    float: ((int, float), "a number"),
    str: (str, "a text"),
    tuple: ((tuple, list), "a list"),
    list: ((tuple, list), "a list"),
}
LOADERS: dict[str, Callable[..., Any]] = {
    "table": table_catalog.load,
    "series": series_frames.load,
}
COLUMNS = {  # keywords of data in columns of a file, all with a default but the first
    group: {
        name: parameter.default
        for name, parameter in list(inspect.signature(load).parameters.items())[1:]
    }
    for group, load in LOADERS.items()
}
PRECISIONS = ("float32", "mixed_bfloat16")  # of the dynamics, see `tfcnf.precision`
NOT_CONFIGURED = {"dtype", "flow", "name", "seed"}


def default_config(model: str = "infocnf", policy: str = "fixed") -> dict[str, Any]:
    """Every key of a configuration, with its default.

    Args:
        model: ``"infocnf"``, ``"ccnf"``, ``"cnf"`` or ``"latent_ode"``.
        policy: of the tolerances, see `build_flow`; it decides which keys
            ``model.policy_options`` and ``model.reinforce`` have.

    Returns:
        ``data``: catalog name. ``model_name``. ``seed``: of weights, noise and data
        order. ``model``: keywords of the model and of `build_flow`;
        ``dtype`` is ``"float32"`` or ``"mixed_bfloat16"``. ``optimizer``:
        Adam's ``learning_rate``, which grows in proportion to the batch where
        ``reference_batch`` is the batch it was chosen for (0: no scaling),
        ``warmup_epochs``, ``decay`` ("cosine" to zero or
        "piecewise", a tenth at each of ``drop_epochs``), ``epsilon`` and
        ``clipnorm`` (0 for none), ``ema_momentum`` (of the moving average of the
        weights, which is then what is evaluated; 0 for none). ``training``:
        ``batch_size``, ``epochs``, ``accumulation_steps`` (parts that a batch is
        computed in), ``validation`` (fraction of the training split that is held out,
        see `tfcnf.data.held_out`, where the data have no validation split of their
        own; with either the weights are those of the best epoch), ``patience`` (epochs
        without a better validation measure that end the training, 0 for none),
        ``honesty`` (steps between measures of `tfcnf.training.honesty`, 0 for none),
        ``recovery`` (keywords of
        `tfcnf.training.recovery.Recovery`), for flows ``labels`` and
        ``labelled_part`` as `tfcnf.data.labels.hide_labels` has them and
        ``jit_compile`` (XLA compiles the step of one device), and for latent
        ODEs the ``passes`` over the data that make an epoch.
        ``evaluation``: ``tol``, ``batch_size``, ``every`` epochs, and the ``draws`` of
        noise that the closing evaluation averages.
    """
    options: dict[str, Any] = {}
    is_flow = model in FRACTIONS
    for function in (InfoCNF, build_flow) if is_flow else (LatentODE,):
        options |= _defaults(function)
    training: dict[str, Any] = {
        "batch_size": 900,
        "epochs": 400,
        "accumulation_steps": 1,
        "validation": 0.0,
        "patience": 0,
        "honesty": TolerancePolicy.find(policy).steps,
        "recovery": _defaults(Recovery),
    }
    if is_flow:
        training |= {"labels": 0, "labelled_part": 0.5, "jit_compile": False}
        options["supervised_fraction"] = FRACTIONS[model]
        options["adjoint_tol"] = None  # as the forward solve's
        options["policy"] = policy
        made = TolerancePolicy.find(policy)
        options["policy_options"] = made.options()
        options["reinforce"] = _defaults(Reinforce) if made.learns else {}
        options["costs"] = cost_weights()
        options["dtype"] = PRECISIONS[0]
    else:
        training["passes"] = 1
    return {
        "data": "digits",
        "model_name": model,
        "seed": 0,
        "model": options,
        "optimizer": {
            "learning_rate": 1e-3,
            "reference_batch": 0,
            "warmup_epochs": 0.0,
            "decay": "piecewise",
            "drop_epochs": (),
            "epsilon": 1e-8,
            "clipnorm": 0.0,
            "ema_momentum": 0.0,
        },
        "training": training,
        "evaluation": {"tol": 1e-5, "batch_size": 500, "every": 1, "draws": 1},
    }


def _defaults(function: Any) -> dict[str, Any]:
    """Keywords of a function that can be configured: those that have a default."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in FROM_DATA | NOT_CONFIGURED
        and parameter.default not in (None, inspect.Parameter.empty)
    }


def table_config(data: str, smoke: bool = False) -> dict[str, Any]:
    """The changes to a default configuration for the rows of a table.

    Args:
        data: name of a table, or the path of a file.
        smoke: make it a matter of seconds, to see it work.
    """
    return {
        "data": data,
        "table": dict(COLUMNS["table"]),
        "model": {
            "flows_per_block": 1,
            "filters": 8 if smoke else 32,
            "hidden_layers": 2,
            "activation": "tanh",
            "trace": "exact",
            "gradient": "checkpoint",
            "init": "zero_output",
            "dropout": 0.0,
            "tol": 1e-2 if smoke else 1e-3,
        },
        "optimizer": {"decay": "cosine", "learning_rate": 5e-3},
        "training": {
            "batch_size": 32,
            "epochs": 1 if smoke else 60,
            "validation": 0.1,
            "patience": 0 if smoke else 20,
        },
        "evaluation": {
            "batch_size": 500,
            "every": 1 if smoke else 2,
            "draws": 1 if smoke else 10,
        },
    }


def points_config(data: str, smoke: bool = False) -> dict[str, Any]:
    """The changes to a default configuration for points on a line or in the plane.

    The authors' network for their density experiment (InfoCNF App. C): one CNF, three
    hidden layers of 64 units with tanh, time by "concatsquash", exact trace.

    Args:
        data: catalog name.
        smoke: make it a matter of seconds, to see it work.
    """
    return {
        "data": data,
        "model": {
            "flows_per_block": 1,
            "filters": 8 if smoke else 64,
            "activation": "tanh",
            "time": "concatsquash",
            "trace": "exact",
            "dropout": 0.0,
            "tol": 1e-2 if smoke else 1e-4,
        },
        "optimizer": {"decay": "cosine", "learning_rate": 2e-3},
        "training": {"batch_size": 400, "epochs": 1 if smoke else 60},
        "evaluation": {"batch_size": 4000, "every": 20},
    }


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a run, with the keys that later versions added.

    In the groups that it has, what is missing gets its default, which has to leave a
    run as it was.
    """
    known = _known(config)
    return dict(config) | {
        group: _filled(config[group], known[group])
        for group in known
        if isinstance(known[group], dict) and isinstance(config.get(group), Mapping)
    }


def _known(config: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of the configuration's model; none of an unknown one."""
    model, options = config.get("model_name"), config.get("model")
    if model not in tuple(MODELS) or not isinstance(options, Mapping):
        return {}
    return default_config(model, options.get("policy", "fixed"))


def _filled(given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    groups = {
        key: _filled(value, known[key])
        for key, value in given.items()
        if isinstance(value, Mapping) and isinstance(known.get(key), dict)
    }
    return dict(known) | dict(given) | groups


def parse_variant(
    text: str | None, choices: Mapping[str, Sequence[Any]]
) -> dict[str, Any]:
    """Reads what stands behind the colon of ``--config=FILE.py:text``.

    Args:
        text: comma-separated ``key=value`` and bare switches, such as
            ``"model=ccnf,smoke"``.
        choices: allowed values of each key, the default first; a switch has the
            choices ``(False, True)``.

    Raises:
        ValueError: for an unknown key or value.
    """
    variant = {key: values[0] for key, values in choices.items()}
    for item in filter(None, (text or "").split(",")):
        key, _, value = item.partition("=")
        if key not in choices:
            raise ValueError(
                f"unknown variant; known are {', '.join(choices)}."
                f"{_did_you_mean(key, choices)} Received: {item!r}"
            )
        allowed = {str(v): v for v in choices[key]} | (
            {"": True} if True in choices[key] else {}
        )
        if value not in allowed:
            names = ", ".join(str(v) for v in choices[key])
            raise ValueError(f"{key} must be one of {names}. Received: {item!r}")
        variant[key] = allowed[value]
    return variant


def check_config(config: Mapping[str, Any]) -> None:
    """Checks that a configuration has just the known keys and a known model.

    Raises:
        ValueError: naming the first wrong key, with the nearest known one.
    """
    model: Any = config.get("model_name")
    check_choice("model_name", model, MODELS)
    options = config.get("model")
    policy = options.get("policy") if isinstance(options, Mapping) else None
    known = default_config(model, "fixed" if policy is None else policy)
    if model in FRACTIONS:
        known["model"] |= {"num_scales": None}
    known |= {name: dict(COLUMNS[name]) for name in COLUMNS if name in config}
    _check_keys(config, known, "config")
    decay = config["optimizer"]["decay"]
    check_choice("decay", decay, DECAYS)
    for name, least in LEAST.items():
        group, _, key = name.rpartition(".")
        value = config[group][key] if group else config[key]
        if not isinstance(value, (int, float)) or not value >= least:
            raise ValueError(f"{key} must be at least {least}. Received: {key}={value}")
    check_tolerance("evaluation.tol", config["evaluation"]["tol"])
    if model in FRACTIONS:
        check_choice("dtype", config["model"]["dtype"], PRECISIONS)
    Recovery(**config["training"]["recovery"])
    _check_honesty(config)
    for group, key in (("optimizer", "ema_momentum"), ("training", "validation")):
        value = config[group][key]
        if not isinstance(value, (int, float)) or not 0 <= value < 1:
            raise ValueError(
                f"{key} must be at least 0 and less than 1. Received: {key}={value!r}"
            )


def _check_honesty(config: Mapping[str, Any]) -> None:
    every, model = config["training"]["honesty"], config["model_name"]
    if every and model not in FRACTIONS:
        raise ValueError(
            "honesty is of flows, whose likelihood is exact. Received: "
            f"training.honesty={every}, model_name={model!r}"
        )
    policy = config["model"].get("policy", "fixed")
    if not every and TolerancePolicy.find(policy).steps:
        raise ValueError(
            "these tolerances adapt to honesty; config.training.honesty=50 measures "
            f"it. Received: training.honesty=0, policy={policy!r}"
        )


def _check_keys(given: Mapping[str, Any], known: Mapping[str, Any], place: str) -> None:
    for key, value in given.items():
        if key not in known:
            raise ValueError(
                f"unknown key in {place}.{_did_you_mean(key, known)} "
                f"Received: {place}.{key}={value!r}"
            )
    for key, value in known.items():
        if isinstance(value, dict):
            if not isinstance(given.get(key), Mapping):
                raise ValueError(
                    f"{place}.{key} must be a group of keys. "
                    f"Received: {place}.{key}={given.get(key)!r}"
                )
            _check_keys(given[key], value, f"{place}.{key}")
        elif key in given:
            _check_type(key, given[key], value)
        elif key != "num_scales":
            raise ValueError(f"a key is missing. Received: {place} without {key!r}")


def _check_type(name: str, value: Any, default: Any) -> None:
    """Checks that a value is of the kind of its default; an integer is a number."""
    for kind, (taken, word) in KINDS.items():
        if type(default) is kind:
            fits = isinstance(value, taken) and (
                kind is bool or not isinstance(value, bool)
            )
            # what JSON and Python know and no number of the machine can hold
            if not fits or (isinstance(value, int) and abs(value) >= 2**63):
                raise ValueError(f"{name} must be {word}. Received: {name}={value!r}")


def _did_you_mean(key: str, known: Any) -> str:
    near = difflib.get_close_matches(key, known, 1)
    return f" Did you mean {near[0]!r}?" if near else ""
