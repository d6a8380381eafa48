"""The spread that chance allows: intervals, bands and p-values for arrays.

Every p-value is one of a right model: below 0.05 in one of twenty right models.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

LEVELS = (0.5, 0.8, 0.95)

COVERAGE_COLUMNS = {  # of tables with what `coverage_measures` and a width test yield
    "coverage": "coverage",
    "low": "low by chance",
    "high": "high by chance",
    "width": "width",
    "p_value": "p-value",
}


def binomial_interval(
    level: float, count: int, confidence: float = 0.95
) -> tuple[float, float]:
    """The interval in which a fraction lies by chance.

    Args:
        level: probability of each example.
        count: examples.
        confidence: probability of the interval, at least.

    Example:
        ```python
        binomial_interval(0.8, 500)  # (0.764, 0.834)
        ```
    """
    from scipy import stats

    low, high = stats.binom.interval(confidence, count, level)
    return float(low) / count, float(high) / count


def uniform_p_value(values: np.ndarray) -> float:
    """p-value of numbers ``[n]`` in [0, 1] being uniform (Kolmogorov-Smirnov)."""
    from scipy import stats

    return float(stats.kstest(values, "uniform").pvalue)


def uniform_band(count: int, confidence: float = 0.95) -> float:
    """Largest distance of an empirical distribution of uniform numbers by chance."""
    from scipy import stats

    return float(stats.kstwo.ppf(confidence, count))


def smallest_p_value(p_values: Any) -> float:
    """p-value of the smallest of several, which need not be independent.

    Bonferroni's: it is below 0.05 in at most one of twenty right models.
    """
    p_values = np.asarray(p_values)
    return float(min(1.0, p_values.size * p_values.min()))


def width_test(
    codes: np.ndarray, alternative: str = "two-sided"
) -> tuple[float, float]:
    """Width of a model, and the p-value of its being right.

    The sum of the squares of n codes of D standard normal numbers is chi-square with n
    D degrees. No test of a deviation has more power.

    Args:
        codes: standard normal if the model is right, ``[n, D]`` or ``[n]``.
        alternative: ``"two-sided"``, or ``"narrow"`` or ``"wide"`` where the model can
            be wrong in one direction alone, for more power.

    Returns:
        The model's deviation divided by the right one (0.9 where it is 10 % too
        small), and the p-value.

    Raises:
        ValueError: for another alternative.
    """
    from scipy import stats

    if alternative not in ("two-sided", "narrow", "wide"):
        raise ValueError(
            "alternative must be one of two-sided, narrow, wide. "
            f"Received: alternative={alternative!r}"
        )
    total = float(np.sum(np.square(codes, dtype=np.float64)))
    narrow, wide = (f(total, codes.size) for f in (stats.chi2.sf, stats.chi2.cdf))
    p_values = {
        "narrow": narrow,
        "wide": wide,
        "two-sided": min(1.0, 2 * min(narrow, wide)),
    }
    return float(np.sqrt(codes.size / total)), float(p_values[alternative])


def width_test_of_levels(
    values: np.ndarray, alternative: str = "two-sided"
) -> tuple[float, float]:
    """As `width_test`, of numbers that are uniform if the model is right.

    They are turned into normal quantiles. Several columns may depend on one another:
    their squares are averaged, and the test is Student's, over the rows.

    Args:
        values: in (0, 1), ``[n, D]``; ranks or probability integral transforms.
        alternative: as of `width_test`.
    """
    from scipy import stats

    quantiles = stats.norm.ppf(values)
    width, p_value = width_test(quantiles, alternative)
    if quantiles.shape[1] > 1:
        sides = {"narrow": "greater", "wide": "less"}
        squares = np.square(quantiles).mean(1)
        side = sides.get(alternative, alternative)
        p_value = stats.ttest_1samp(squares, 1.0, alternative=side).pvalue
    return width, float(p_value)


def coverage_measures(
    levels: np.ndarray, name: str = ""
) -> Iterator[tuple[str, float]]:
    """Parts of the examples in the regions that should hold 50, 80 and 95 % of them.

    Args:
        levels: probability of the smallest region that holds an example, ``[n]``;
            uniform if the model is right.
        name: put before the names.

    Yields:
        For each level ``"50 %/coverage"``, and ``/low`` and ``/high``, between which
        it lies by chance in 95 % of right models.
    """
    for level in LEVELS:
        row = f"{name} {level:.0%}".strip().replace("%", " %")
        yield f"{row}/coverage", float(np.mean(levels <= level))
        low, high = binomial_interval(level, len(levels))
        yield f"{row}/low", low
        yield f"{row}/high", high
