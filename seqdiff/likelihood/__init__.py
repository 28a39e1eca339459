"""Bounds on −log p(x_0), in nats, each with its standard error, and what is said of samples beside a perplexity.

`discrete_bound` and `continuous_bound` are of any process on tokens, `any_order_bound` and `exact_any_order` of masked
denoisers without time input; `importance_bound` and `importance_any_order_bound` are tighter and cost more.
"""

from seqdiff.likelihood.bound import Bound
from seqdiff.likelihood.masked import AnyOrder, any_order_bound, exact_any_order, importance_any_order_bound
from seqdiff.likelihood.samples import SampleQuality, ngram_entropy, sample_quality
from seqdiff.likelihood.tokens import continuous_bound, discrete_bound, importance_bound

__all__ = [
    "AnyOrder",
    "Bound",
    "SampleQuality",
    "any_order_bound",
    "continuous_bound",
    "discrete_bound",
    "exact_any_order",
    "importance_any_order_bound",
    "importance_bound",
    "ngram_entropy",
    "sample_quality",
]
