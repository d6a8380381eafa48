"""The verdict of a certificate in words, from its measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

OWN = {  # rows of a model's own tolerances, and how the model came to them
    "trained": "was trained at tolerance",
    "learned": "learned tolerances up to",
}
JUDGED = {  # numbers that vanish for an exact solution, in words
    "change": "the change of the likelihood at a tighter tolerance",
    "error_change": "the change of the error at a tighter tolerance",
    "method_change": "the change of the likelihood with another method",
    "method_error_change": "the change of the error with another method",
    "inversion": "|x - decode(encode(x))|",
    "mass_error": "|total mass - 1|",
    "approach_change": "the change of the closest approach of neighbours",
}


def sentences(measures: Mapping[str, Any]) -> Iterator[str]:
    """The loosest tolerance at which all numbers are within the limit, and the own one.

    A number is within the limit unless it is beyond by more than two of its standard
    errors. A tolerance counts where all tighter ones hold as well.

    Args:
        measures: ``ROW/NAME``, ``ROW/NAME_se`` and ``limit``.
    """
    tols = {
        key.removesuffix("/tolerance"): value
        for key, value in measures.items()
        if key.endswith("/tolerance")
    }
    if not tols or "limit" not in measures:
        return
    limit, held = measures["limit"], None
    for row in sorted(tols, key=tols.__getitem__):
        if beyond(measures, row):
            break
        held = tols[row]
    if held is None:
        row = min(tols, key=tols.__getitem__)
        yield (
            f"At none of the tolerances is every number within {limit:g}: at "
            f"{tols[row]:.2g} {_told(measures, row)}."
        )
    else:
        yield (
            f"The loosest tolerance at which every number is within {limit:g}, as at "
            f"all tighter ones, is {held:.2g}."
        )
    for row in filter(tols.__contains__, OWN):
        how = f"the model {OWN[row]} {tols[row]:.2g}"
        if beyond(measures, row):
            yield (
                f"Warning: {how}, which is too loose to be an ODE and a density: there "
                f"{_told(measures, row)}."
            )
        elif held is None or tols[row] > held:
            yield f"Warning: {how}, which is looser than that."
        else:
            yield f"T{how[1:]}, where every number is within {limit:g}."


def beyond(measures: Mapping[str, Any], row: str) -> dict[str, float]:
    """The numbers of a row that are beyond the limit, by name."""
    values = {name: measures.get(f"{row}/{name}") for name in JUDGED}
    return {
        name: value
        for name, value in values.items()
        if value is not None
        and not value - 2 * measures.get(f"{row}/{name}_se", 0) <= measures["limit"]
    }


def _told(measures: Mapping[str, Any], row: str) -> str:
    """The largest number that is beyond the limit, in words."""
    found = beyond(measures, row)
    name = max(found, key=found.__getitem__)
    error = measures.get(f"{row}/{name}_se", 0)
    return f"{JUDGED[name]} is {found[name]:.2g} (± {error:.1g})"
