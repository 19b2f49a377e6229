"""How large a difference a paired design can see, before the money is spent.

All functions speak of a mean of ``n`` independent paired differences (clusters where there are clusters) with standard
deviation ``sd``, tested by a paired t-test. For clustered or seeded data take ``sd = standard_error * sqrt(n)`` from
``mean_error`` or ``two_way_error``; ``n`` may be fractional there (``df + 1``).
"""

import numpy as np

from paribus.errors import ConfigError
from paribus.statistics.errors_of_means import Alternative


def power(effect: float, sd: float, n: float, *, alpha: float = 0.05, alternative: Alternative = "two-sided") -> float:
    """Chance of rejecting "no difference" when the true mean difference is ``effect`` (unit of ``sd``).

    Exact for normal differences, by the noncentral t distribution. ``alternative`` ``"less"`` looks for negative
    effects. Raises ``ConfigError`` for sd <= 0, n < 2 or alpha outside (0, 1).
    """
    _check(sd, n, alpha, alternative)
    return _chance(effect, sd, n, alpha, alternative)


def _chance(effect: float, sd: float, n: float, alpha: float, alternative: Alternative) -> float:
    from scipy.special import nctdtr, stdtrit

    df, shift = n - 1, effect * np.sqrt(n) / sd
    if alternative == "less":
        shift = -shift
    if alternative != "two-sided":
        return _upper(nctdtr(df, shift, stdtrit(df, 1 - alpha)), shift)
    limit = stdtrit(df, 1 - alpha / 2)
    # Both tails are symmetric in the sign of the effect. The one opposite to it is NaN only where it is far below 1e-8.
    shift = abs(shift)
    opposite = float(np.nan_to_num(nctdtr(df, shift, -limit), nan=0.0))
    return min(1.0, _upper(nctdtr(df, shift, limit), shift) + opposite)


def _upper(below: float, shift: float) -> float:
    # scipy answers NaN or 0 far in the tail, where the power is 1 (or 0) to more digits than anyone needs.
    if np.isnan(below):
        return 1.0 if shift > 0 else 0.0
    return float(1.0 - below)


def minimal_detectable_effect(
    sd: float, n: float, *, alpha: float = 0.05, power: float = 0.8, alternative: Alternative = "two-sided"
) -> float:
    """Smallest true difference (>= 0, unit of ``sd``) that is found with the given ``power``. Zero when ``sd`` is
    zero.
    """
    from scipy.optimize import brentq

    _check_power(power, alpha)
    if sd == 0:
        return 0.0
    _check(sd, n, alpha, alternative)
    side: Alternative = "two-sided" if alternative == "two-sided" else "greater"
    unit = sd / np.sqrt(n)
    top = unit
    while _chance(top, sd, n, alpha, side) < power:
        top *= 2
    return float(brentq(lambda effect: _chance(effect, sd, n, alpha, side) - power, 0.0, top, xtol=1e-9 * unit))


def required_n(
    effect: float, sd: float, *, alpha: float = 0.05, power: float = 0.8, alternative: Alternative = "two-sided"
) -> int:
    """Smallest number of paired differences that finds ``effect`` (non-zero; sign ignored) with the given ``power``."""
    _check_power(power, alpha)
    if effect == 0:
        raise ConfigError("The effect is 0, which no sample size can find; give the smallest difference that matters.")
    side: Alternative = "two-sided" if alternative == "two-sided" else "greater"
    low, high = 1, 2
    while _chance(abs(effect), sd, high, alpha, side) < power:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _chance(abs(effect), sd, middle, alpha, side) >= power else (middle, high)
    return high


def _check_power(power: float, alpha: float) -> None:
    if not alpha < power < 1:
        raise ConfigError(f"The power is {power}; give a share between alpha ({alpha}) and 1, such as 0.8.")


def _check(sd: float, n: float, alpha: float, alternative: Alternative) -> None:
    if not (np.isfinite(sd) and sd > 0):
        raise ConfigError(f"sd is {sd}; give the standard deviation of the paired differences, above 0.")
    if not n >= 2:
        raise ConfigError(f"n is {n}; at least two paired differences are needed.")
    if not 0 < alpha < 1:
        raise ConfigError(f"alpha is {alpha}; give a share between 0 and 1.")
    if alternative not in ("two-sided", "greater", "less"):
        raise ConfigError(f"The alternative is {alternative!r}; use 'two-sided', 'greater' or 'less'.")
