r"""Each column predicted from all others by ridge regression, as many regressions as columns at once.

Column j is regressed on the other columns, 0 where they are missing, and on their masks, F features of each row, over the rows in which
it is seen. With C the features of these n_j rows less their means, y the column there, and a penalty of 1,

    coefficients = (C'C + I)^-1 C'y = C'(C C' + I)^-1 y.

Each regression leaves out two features, its own, and the rows that it does not see. Of more features than rows N, all regressions take
the second form and share K, the products of whole rows with one another: leaving out features takes from it a product of each, and
leaving out rows strikes out lines. So D columns cost N^2 F once and D N^3 after, in place of D N^2 F. Of more rows than features the
first form is solved, by elimination where it is small. Where it is large, by conjugate gradients on all columns together: with the
inverse of the whole table's F'F + I before it, one of F^3, the few rows and features that a regression lacks take few rounds, each of
N F D (Hestenes and Stiefel 1952, "Methods of conjugate gradients for solving linear systems", Journal of Research of the National
Bureau of Standards 49).
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Numbers that the systems of a block of columns hold.
_NUMBERS = 2**22
#: Features from which systems are not solved one by one; rounds at most, and the share of the first residual at which they end.
_MANY, _ROUNDS, _SMALL = 200, 200, 1e-8


def predictions(features: Tensor, mask: Tensor, columns: Tensor) -> Tensor:
    """Return what the others predict of each of ``columns`` in all rows, (N, J), up to a constant for each column.

    Args:
        features: (N, F) in double precision, F = 2 D: values, 0 in the holes, and after them 1 in the holes and 0 elsewhere.
        mask: (N, D) True = observed.
        columns: (J,) positions, each of which is seen somewhere.

    Example:
        >>> x = torch.tensor([[1.0, 2], [2, 4], [-3, -6], [0, 0]]).double()
        >>> x = torch.cat([x, torch.zeros(4, 2).double()], -1)
        >>> [round(y, 3) for y in predictions(x, torch.ones(4, 2, dtype=torch.bool), torch.tensor([1])).flatten().tolist()]
        [1.867, 3.733, -5.6, 0.0]
    """
    n_rows, width = features.shape
    if width > n_rows:
        products = features @ features.T
        parts = [_by_rows(products, features, mask, part) for part in columns.split(max(1, _NUMBERS // n_rows**2))]
    elif width < _MANY:
        parts = [_by_features(features, mask, part) for part in columns.split(max(1, _NUMBERS // (n_rows * width)))]
    else:
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(features.T @ features + torch.eye(width).to(features)))
        parts = [_by_rounds(inverse, features, mask, part) for part in columns.split(max(1, _NUMBERS // n_rows))]
    return torch.cat(parts, -1)


def _by_rows(products: Tensor, features: Tensor, mask: Tensor, columns: Tensor) -> Tensor:
    """Return (N, J) by systems of N, with the ``products`` (N, N) of whole rows."""
    values, own, seen, share = _parts(features, mask, columns)
    gram = products - own @ own.mT
    gram = gram - share.unsqueeze(1) @ gram
    gram = gram - gram @ share.unsqueeze(-1)
    # A row that is not seen has a line of the identity, and no weight.
    system = gram * seen.unsqueeze(1) * seen.unsqueeze(-1) + torch.eye(len(features)).to(gram)
    weights = torch.cholesky_solve(values.unsqueeze(-1), torch.linalg.cholesky(system))
    return (gram @ weights).squeeze(-1).T


def _by_features(features: Tensor, mask: Tensor, columns: Tensor) -> Tensor:
    """Return (N, J) by systems of F."""
    values, _, seen, share = _parts(features, mask, columns)
    centered = (features - share.unsqueeze(1) @ features) * seen.unsqueeze(-1) * _others(features, columns).T.unsqueeze(1)
    system = centered.mT @ centered + torch.eye(features.shape[-1]).to(features)
    told = centered.mT @ values.unsqueeze(-1)
    return features @ torch.cholesky_solve(told, torch.linalg.cholesky(system)).squeeze(-1).T


def _by_rounds(inverse: Tensor, features: Tensor, mask: Tensor, columns: Tensor) -> Tensor:
    """Return (N, J) by conjugate gradients, with the ``inverse`` (F, F) of the whole table's F'F + I."""
    values, _, seen, share = (part.mT for part in _parts(features, mask, columns))
    others = _others(features, columns)

    def products_of(weights: Tensor) -> Tensor:
        fitted = features @ weights
        return (features.T @ (seen * (fitted - (share * fitted).sum(0)))) * others + weights

    left = (features.T @ (seen * (values - (share * values).sum(0)))) * others
    weights, enough = torch.zeros_like(left), _SMALL * left.norm(dim=0)
    ahead = (inverse @ left) * others
    way, size = ahead, (left * ahead).sum(0)
    for _ in range(_ROUNDS):
        if bool((left.norm(dim=0) <= enough).all()):
            break
        along = products_of(way)
        step = size / (way * along).sum(0).clamp_min(torch.finfo(size.dtype).tiny)
        weights, left = weights + step * way, left - step * along
        ahead = (inverse @ left) * others
        size, before = (left * ahead).sum(0), size
        way = ahead + size / before.clamp_min(torch.finfo(size.dtype).tiny) * way
    return features @ weights


def _parts(features: Tensor, mask: Tensor, columns: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return of each column the values (J, N), 0 in the holes; its own features (J, N, 2); where it is seen, and each row's share of
    that, both (J, N) numbers."""
    values = features[:, columns].T
    own = torch.stack([values, features[:, columns + mask.shape[-1]].T], -1)
    seen = mask[:, columns].T.to(features)
    return values, own, seen, seen / seen.sum(-1, keepdim=True)


def _others(features: Tensor, columns: Tensor) -> Tensor:
    """Return (F, J), 0 at each column's own features and 1 elsewhere."""
    place = torch.arange(features.shape[-1], device=features.device) % (features.shape[-1] // 2)
    return (place.unsqueeze(-1) != columns).to(features)
