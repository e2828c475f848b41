"""A Gaussian over embeddings of good parts, in float64: how far is another one from them?

The covariance is shrunk towards a multiple of the identity as O. Ledoit and M. Wolf have it ("A well-conditioned
estimator for large-dimensional covariance matrices", 2004): there are more numbers in an embedding than photographs,
and without it no distance could be told. All sums are kept while vectors stream by, so memory does not grow with their
number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from fmas.errors import ComponentError

__all__ = ["Gaussian", "Moments"]

Vectors = NDArray[np.float64]

_LEAST_SHRINKAGE = 1e-6  # a feature that never moved on good parts is not allowed to decide everything
_LEAST_VARIANCE = 1e-12  # for photographs that are all the same
_AT_ONCE = 4096  # vectors whose distances are computed together


@dataclass(frozen=True, slots=True, eq=False)
class Gaussian:
    """A fitted density.

    Attributes:
        mean: ``(D,)`` float64.
        factor: ``(D, D)`` float64, the lower Cholesky factor of the shrunk covariance.
        shrinkage: How much of the covariance is the identity's, in ``[0, 1]``.
    """

    mean: Vectors
    factor: Vectors
    shrinkage: float

    def distances(self, vectors: NDArray[np.floating]) -> Vectors:
        """Return Mahalanobis distances.

        Args:
            vectors: ``(N, D)``.

        Returns:
            ``(N,)`` float64, from 0 upwards; about ``sqrt(D)`` for what the density was fitted to.

        Raises:
            ComponentError: If the vectors have another number of dimensions.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.mean.size:
            raise ComponentError(
                f"expected vectors (N, {self.mean.size}), got {vectors.shape}; use the network that the density was "
                "fitted with"
            )
        found = np.empty(len(vectors))
        for start in range(0, len(vectors), _AT_ONCE):
            away = (vectors[start : start + _AT_ONCE].astype(np.float64) - self.mean).T
            white = linalg.solve_triangular(self.factor, away, lower=True, overwrite_b=True, check_finite=False)
            found[start : start + _AT_ONCE] = np.sqrt(np.einsum("dn,dn->n", white, white))
        return found

    def arrays(self) -> dict[str, Vectors]:
        """Return what :meth:`from_arrays` needs, by name."""
        return {"mean": self.mean, "factor": self.factor, "shrinkage": np.array([self.shrinkage])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Vectors]) -> Gaussian:
        """Read what :meth:`arrays` gave.

        Raises:
            ComponentError: If something is missing, of a wrong shape, not finite or no Cholesky factor.
        """
        problem = _problem(arrays)
        if problem:
            raise ComponentError(f"expected a saved density, got {problem}; train again")
        return cls(arrays["mean"], arrays["factor"], float(arrays["shrinkage"][0]))


def _problem(arrays: Mapping[str, Vectors]) -> str:
    missing = sorted({"mean", "factor", "shrinkage"} - set(arrays))
    if missing:
        return f"none of {', '.join(missing)}"
    mean, factor, shrinkage = arrays["mean"], arrays["factor"], arrays["shrinkage"]
    if mean.ndim != 1 or factor.shape != (mean.size, mean.size) or shrinkage.shape != (1,):
        return f"a mean {mean.shape}, a factor {factor.shape} and a shrinkage {shrinkage.shape}"
    if any(array.dtype != np.float64 or not np.isfinite(array).all() for array in (mean, factor, shrinkage)):
        return "numbers that are not finite or not float64"
    return "" if (factor.diagonal() > 0).all() else "a factor with a diagonal that is not positive"


class Moments:
    """Adds up what a :class:`Gaussian` is fitted from.

    Sums are taken about the first vectors' mean, where little is lost to rounding.

    Args:
        size: ``D``, how many numbers a vector has.
    """

    def __init__(self, size: int) -> None:
        self._origin: Vectors | None = None
        self._count = 0
        self._first = np.zeros(size)
        self._second = np.zeros((size, size))
        self._third = np.zeros(size)  # of squared length times vector
        self._fourth = 0.0  # of squared length squared

    @property
    def count(self) -> int:
        """How many vectors were added."""
        return self._count

    def add(self, vectors: NDArray[np.floating]) -> None:
        """Add some.

        Args:
            vectors: ``(N, D)``, finite.

        Raises:
            ComponentError: If they have another number of dimensions or are not finite.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self._first.size:
            raise ComponentError(
                f"expected vectors (N, {self._first.size}), got {vectors.shape}; add only those of one network"
            )
        if not len(vectors):
            return
        away = vectors.astype(np.float64)
        if not np.isfinite(away).all():
            raise ComponentError("expected finite embeddings, got NaN or infinity; lower the learning rate")
        if self._origin is None:
            self._origin = away.mean(axis=0)
        away -= self._origin
        squares = np.einsum("nd,nd->n", away, away)
        self._count += len(away)
        self._first += away.sum(axis=0)
        self._second += away.T @ away
        self._third += squares @ away
        self._fourth += float(squares @ squares)

    def gaussian(self) -> Gaussian:
        """Return the density of all that was added.

        Raises:
            ComponentError: If nothing was.
        """
        if self._origin is None:
            raise ComponentError("expected at least one embedding of a good part, got none; give photographs of some")
        mean = self._first / self._count
        covariance = self._second / self._count - np.outer(mean, mean)
        size = mean.size
        variance = max(float(np.trace(covariance)) / size, _LEAST_VARIANCE * (1 + float(self._origin @ self._origin)))
        shrinkage = max(self._shrinkage(mean, covariance), _LEAST_SHRINKAGE)
        covariance *= 1 - shrinkage
        covariance.flat[:: size + 1] += shrinkage * variance
        return Gaussian(self._origin + mean, linalg.cholesky(covariance, lower=True, check_finite=False), shrinkage)

    def _shrinkage(self, mean: Vectors, covariance: Vectors) -> float:
        """Return Ledoit and Wolf's: how uncertain the covariance is, as a part of how far it is from round."""
        size, count = mean.size, self._count
        norm = float(np.einsum("ij,ij->", covariance, covariance))
        far = norm / size - (float(np.trace(covariance)) / size) ** 2
        if far <= 0:
            return 0.0 if count > 1 else 1.0
        # The fourth powers of the vectors' lengths about their mean, from the sums about the origin.
        length = float(mean @ mean)
        squares = float(np.trace(self._second))
        fourth = self._fourth - 4 * float(self._third @ mean) + 4 * float(mean @ self._second @ mean)
        fourth += 2 * length * squares - 4 * length * float(self._first @ mean) + count * length**2
        uncertain = (fourth / count - norm) / (count * size)
        return min(max(uncertain / far, 0.0), 1.0)
