"""Intervals, tests and sample sizes: plain arrays in, numbers out.

What lives here: the paired, clustered and hierarchical bootstraps, the sign-flip permutation test, Holm's correction,
equivalence tests, power for paired designs, the Wilson interval, agreement of raters, and least squares. What may not:
records, files, models, studies, or any decision about what a number means. Randomness enters only through the ``rng``
argument (a numpy ``Generator``, or an integer that seeds one), so equal calls give equal numbers. SciPy is imported
inside the functions that need it.

The public names below are loaded on first use: ``from paribus.statistics import clustered_bootstrap``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paribus.statistics.agreement import agreement_interval, cohen_kappa, gwet_ac1, krippendorff_alpha
    from paribus.statistics.bootstrap import clustered_bootstrap, paired_bootstrap, resampled_means
    from paribus.statistics.clusters import ClusterTotals, cluster_codes, cluster_totals, cluster_weights
    from paribus.statistics.equivalence import Equivalence, tost
    from paribus.statistics.errors_of_means import MeanError, mean_error, t_interval, t_test, two_way_error
    from paribus.statistics.hierarchical import hierarchical_bootstrap
    from paribus.statistics.interval import Interval, percentile_interval
    from paribus.statistics.multiplicity import holm
    from paribus.statistics.permutation import TestResult, sign_flip_test
    from paribus.statistics.proportion import wilson
    from paribus.statistics.sample_size import minimal_detectable_effect, power, required_n
    from paribus.statistics.sums import bootstrap_of_sums, cluster_sums

_HOMES = {
    "agreement_interval": "agreement",
    "cohen_kappa": "agreement",
    "gwet_ac1": "agreement",
    "krippendorff_alpha": "agreement",
    "bootstrap_of_sums": "sums",
    "cluster_sums": "sums",
    "Interval": "interval",
    "percentile_interval": "interval",
    "ClusterTotals": "clusters",
    "cluster_codes": "clusters",
    "cluster_totals": "clusters",
    "cluster_weights": "clusters",
    "resampled_means": "bootstrap",
    "paired_bootstrap": "bootstrap",
    "clustered_bootstrap": "bootstrap",
    "hierarchical_bootstrap": "hierarchical",
    "MeanError": "errors_of_means",
    "mean_error": "errors_of_means",
    "two_way_error": "errors_of_means",
    "t_interval": "errors_of_means",
    "t_test": "errors_of_means",
    "TestResult": "permutation",
    "sign_flip_test": "permutation",
    "holm": "multiplicity",
    "Equivalence": "equivalence",
    "tost": "equivalence",
    "power": "sample_size",
    "minimal_detectable_effect": "sample_size",
    "required_n": "sample_size",
    "wilson": "proportion",
}

__all__ = [
    "ClusterTotals",
    "Equivalence",
    "Interval",
    "MeanError",
    "TestResult",
    "agreement_interval",
    "bootstrap_of_sums",
    "cluster_codes",
    "cluster_sums",
    "cluster_totals",
    "cluster_weights",
    "clustered_bootstrap",
    "cohen_kappa",
    "gwet_ac1",
    "hierarchical_bootstrap",
    "holm",
    "krippendorff_alpha",
    "mean_error",
    "minimal_detectable_effect",
    "paired_bootstrap",
    "percentile_interval",
    "power",
    "required_n",
    "resampled_means",
    "sign_flip_test",
    "t_interval",
    "t_test",
    "tost",
    "two_way_error",
    "wilson",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'paribus.statistics' has no attribute {name!r}")
    return getattr(import_module(f"paribus.statistics.{_HOMES[name]}"), name)
