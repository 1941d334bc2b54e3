"""Linear regressions of reading times on what is known of a word, with and without its surprisal.

The base has all predictors and all their two-way interactions. Two gains are taken from it:

- `partial_r2`, in the sample: (R2 - R2_base) / (1 - R2_base), which can never be negative;
- `held_out_gain`: by how much the log-likelihood of words in sentences left out of the fit rises (10-fold, normal
  errors), which falls below 0 for a predictor that is noise.

The base is fitted once; a predictor is added by regressing what the base leaves of the times on what it leaves of the
predictor (Frisch & Waugh 1933), so that hundreds of permutations of it cost a few products of matrices.

Shapes: W words, K columns of the base, Y reading times (several measures of the same words), P predictors, each added
alone, F folds.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

NUM_FOLDS = 10
_ROUNDING = 1e-18


def design(predictors_WK: np.ndarray) -> np.ndarray:
    """Returns a constant, the predictors (standardized), and the products of any two.

    >>> design(np.array([[1.0, 5.0], [3.0, 4.0], [5.0, 9.0]])).shape
    (3, 4)
    """
    spread_K = predictors_WK.std(axis=0)
    scaled_WK = (predictors_WK - predictors_WK.mean(axis=0)) / np.where(spread_K > 0, spread_K, 1.0)
    pairs = [scaled_WK[:, i] * scaled_WK[:, j] for i, j in combinations(range(scaled_WK.shape[1]), 2)]
    return np.column_stack([np.ones(len(scaled_WK)), scaled_WK, *pairs])


def partial_r2(base_WK: np.ndarray, values_WP: np.ndarray, times_WY: np.ndarray) -> np.ndarray:
    """Returns (R2 - R2_base) / (1 - R2_base) of 1, the mean over measures, for each predictor [P]."""
    projection_KW = np.linalg.pinv(base_WK)
    left_WY = times_WY - base_WK @ (projection_KW @ times_WY)
    left_WP = values_WP - base_WK @ (projection_KW @ values_WP)
    explained_PY = _slopes(left_WP, left_WY, values_WP) * (left_WP.T @ left_WY)
    return (explained_PY / (left_WY**2).sum(axis=0)).mean(axis=1)


def held_out_gains(base_WK: np.ndarray, values_WP: np.ndarray, times_WY: np.ndarray, fold_W: np.ndarray) -> np.ndarray:
    """Returns by how much a predictor raises the log density of each word's times [W, P], the mean over measures.

    Each fold's words are predicted by the fit to all others. Errors are normal; their variance is the fit's residual
    sum of squares over the words less the columns. In nats.
    """
    gains_WP = np.empty(values_WP.shape)
    for fold in np.unique(fold_W):
        out_W = fold_W == fold
        seen_WK, unseen_WK, freedom = base_WK[~out_W], base_WK[out_W], (~out_W).sum() - base_WK.shape[1]
        projection_KW = np.linalg.pinv(seen_WK)
        times_KY, values_KP = projection_KW @ times_WY[~out_W], projection_KW @ values_WP[~out_W]
        left_WY, left_WP = times_WY[~out_W] - seen_WK @ times_KY, values_WP[~out_W] - seen_WK @ values_KP
        error_WY, excess_WP = times_WY[out_W] - unseen_WK @ times_KY, values_WP[out_W] - unseen_WK @ values_KP
        slope_PY = _slopes(left_WP, left_WY, values_WP[~out_W])
        base_Y = (left_WY**2).sum(axis=0) / freedom
        full_PY = ((left_WY**2).sum(axis=0) - slope_PY * (left_WP.T @ left_WY)) / (freedom - 1)
        gains_WP[out_W] = _gains(error_WY, excess_WP, slope_PY, base_Y, full_PY)
    return gains_WP


def _slopes(left_WP: np.ndarray, left_WY: np.ndarray, values_WP: np.ndarray) -> np.ndarray:
    """Returns the coefficients [P, Y] of the added predictors; 0 for one that the base explains up to rounding."""
    square_P = (left_WP**2).sum(axis=0)
    square_P = np.where(square_P > _ROUNDING * (values_WP**2).sum(axis=0), square_P, np.inf)
    return (left_WP.T @ left_WY) / square_P[:, None]


def _gains(
    error_WY: np.ndarray, excess_WP: np.ndarray, slope_PY: np.ndarray, base_Y: np.ndarray, full_PY: np.ndarray
) -> np.ndarray:
    gains_WP = np.zeros(excess_WP.shape)
    for y in range(error_WY.shape[1]):
        without_W = np.log(base_Y[y]) + error_WY[:, y] ** 2 / base_Y[y]
        remaining_WP = error_WY[:, [y]] - excess_WP * slope_PY[:, y]
        gains_WP += 0.5 * (without_W[:, None] - np.log(full_PY[:, y]) - remaining_WP**2 / full_PY[:, y])
    return gains_WP / error_WY.shape[1]


def folds_of_sentences(sentences_W: np.ndarray, seed: int, num_folds: int = NUM_FOLDS) -> np.ndarray:
    """Returns the fold [W] of each word; the words of a sentence share it, and folds differ by one sentence at most."""
    names, number_W = np.unique(sentences_W, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    return (order % num_folds)[number_W]


def permuted_within(sentences_W: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns the places [W] of words after the words of each sentence have changed places at random.

    >>> sorted(permuted_within(np.array([7, 7, 3]), np.random.default_rng(0))[:2].tolist())
    [0, 1]
    """
    order = np.lexsort((rng.random(len(sentences_W)), sentences_W))
    places = np.empty(len(order), dtype=np.int64)
    places[np.argsort(sentences_W, kind="stable")] = order
    return places
