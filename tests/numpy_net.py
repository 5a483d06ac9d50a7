"""A small convolutional net with BatchNorm in NumPy, its gradient derived by hand.

convolution 3x3 -> BatchNorm (batch statistics) -> ReLU -> average pool -> dense ->
cross-entropy. Weights: kernel `[3, 3, C, F]`, gamma, beta, dense `[F, K]`, bias.
"""

import numpy as np

EPSILON = 1e-3


def initial_weights(rng, channels=3, filters=4, classes=5):
    return [
        rng.normal(size=(3, 3, channels, filters)) * 0.3,
        rng.uniform(0.5, 1.5, filters),
        rng.normal(size=filters) * 0.1,
        rng.normal(size=(filters, classes)),
        np.zeros(classes),
    ]


def losses(weights, x, y, mask=1.0):
    """Return the cross-entropy of each example."""
    return -_forward(weights, x, y, mask)[0]


def loss_and_gradient(weights, x, y, mask=1.0):
    """Return the mean cross-entropy over `[B, H, W, C]` and its gradient.

    `mask` is what the pooled features are multiplied by: dropout's, `[B, F]`.
    """
    gamma, dense = weights[1], weights[3]
    batch = len(x)
    log_p_y, log_p, pooled, pre, normal, inverse, patches = _forward(
        weights, x, y, mask
    )
    count = pre[..., 0].size
    loss = -log_p_y.mean()

    d_logits = np.exp(log_p)
    d_logits[np.arange(batch), y] -= 1
    d_logits /= batch
    d_pooled = d_logits @ dense.T * mask
    area = pre.shape[1] * pre.shape[2]
    d_pre = (pre > 0) * d_pooled[:, None, None, :] / area
    d_gamma, d_beta = (d_pre * normal).sum((0, 1, 2)), d_pre.sum((0, 1, 2))
    d_normal = d_pre * gamma
    d_h = inverse * (
        d_normal
        - d_normal.sum((0, 1, 2)) / count
        - normal * (d_normal * normal).sum((0, 1, 2)) / count
    )
    d_kernel = np.einsum("bhwijc,bhwf->ijcf", patches, d_h)
    return loss, [d_kernel, d_gamma, d_beta, pooled.T @ d_logits, d_logits.sum(0)]


def _forward(weights, x, y, mask):
    kernel, gamma, beta, dense, bias = weights
    patches = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    patches = patches.transpose(0, 1, 2, 4, 5, 3)  # [B, H', W', 3, 3, C]
    h = np.einsum("bhwijc,ijcf->bhwf", patches, kernel)
    mean, variance = h.mean((0, 1, 2)), h.var((0, 1, 2))
    inverse = 1 / np.sqrt(variance + EPSILON)
    normal = (h - mean) * inverse
    pre = normal * gamma + beta
    pooled = np.maximum(pre, 0).mean((1, 2)) * mask
    logits = pooled @ dense + bias
    shifted = logits - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    chosen = log_p[np.arange(len(x)), y]
    return chosen, log_p, pooled, pre, normal, inverse, patches
