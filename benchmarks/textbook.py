"""The rules in textbook form: whole arrays, a temporary for every operation.

Each updates the parameter ``p`` in place, with its gradient ``g``, and replaces its states in
the list ``s``; ``step`` is 1 for the first update.
"""

from __future__ import annotations

import numpy as np


def sgd(p, g, s, step, lr):
    """Gradient descent."""
    p -= lr * g


def momentum(p, g, s, step, lr, beta):
    """Momentum with lr inside the velocity."""
    s[0] = beta * s[0] + lr * g
    p -= s[0]


def rmsprop(p, g, s, step, lr, beta, eps):
    """RMSProp with eps outside the root."""
    s[0] = beta * s[0] + (1 - beta) * g**2
    p -= lr * g / (np.sqrt(s[0]) + eps)


def adam(p, g, s, step, lr, betas, eps):
    """Adam with both bias corrections."""
    s[0] = betas[0] * s[0] + (1 - betas[0]) * g
    s[1] = betas[1] * s[1] + (1 - betas[1]) * g**2
    m_hat = s[0] / (1 - betas[0] ** step)
    v_hat = s[1] / (1 - betas[1] ** step)
    p -= lr * m_hat / (np.sqrt(v_hat) + eps)


def adamw(p, g, s, step, lr, betas, eps, weight_decay):
    """Adam after decoupled weight decay."""
    p -= lr * weight_decay * p
    adam(p, g, s, step, lr, betas, eps)


def amsgrad(p, g, s, step, lr, betas, eps):
    """Adam with the largest second moment so far."""
    s[0] = betas[0] * s[0] + (1 - betas[0]) * g
    s[1] = betas[1] * s[1] + (1 - betas[1]) * g**2
    s[2] = np.maximum(s[2], s[1])
    m_hat = s[0] / (1 - betas[0] ** step)
    v_hat = s[2] / (1 - betas[1] ** step)
    p -= lr * m_hat / (np.sqrt(v_hat) + eps)
