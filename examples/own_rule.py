"""Your own rule, AdaBelief (Zhuang et al. 2020), for torch tensors and for arrays.

```diff
-from torch.optim import Adam
+from gpuopt.torch import Optimizer
@@
-optimizer = Adam(model.parameters(), lr=0.01)
+optimizer = Optimizer(model.parameters(), rule="adabelief", lr=0.01)
```

Every backend compiles the function `adabelief`. Weight decay, clipping, averages, states in 8 bits
and checkpoints come with it.
"""

import numpy as np
import torch

import gpuopt
from gpuopt.rules import power
from gpuopt.torch import Optimizer


def adabelief(p, g, m, s, beta1, rest1, beta2, rest2, step_size, correction, eps):
    """Update one element: parameter, gradient, two states, then coefficients."""
    m = beta1 * m + rest1 * g
    s = beta2 * s + rest2 * ((g - m) * (g - m)) + eps
    return p - step_size * np.divide(m, np.sqrt(s) * correction + eps), m, s


def coefficients(step, lr, beta1, beta2, eps):
    """Return the coefficients: the same for all elements, computed in float64 at each step."""
    step_size = np.divide(lr, 1 - power(beta1, step))
    correction = np.divide(1, np.sqrt(1 - power(beta2, step)))
    return beta1, 1 - beta1, beta2, 1 - beta2, step_size, correction, eps


gpuopt.register(
    "adabelief",
    adabelief,
    coefficients,
    states=("m", "s"),
    nonnegative=("s",),
    hyperparameters={"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
)

# With torch tensors.
torch.manual_seed(0)
x = torch.randn(1024, 32)
y = (x @ torch.randn(32, 10)).argmax(dim=1)
model = torch.nn.Sequential(torch.nn.Linear(32, 128), torch.nn.GELU(), torch.nn.Linear(128, 10))
optimizer = Optimizer(model.parameters(), rule="adabelief", lr=0.01)
for step in range(101):
    loss = torch.nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(f"step {step:3}: loss {loss:.3f}")

# With arrays, on every backend that runs here, compared with the paper's formula in float64.
random = np.random.default_rng(0)
start = random.standard_normal(1000).astype(np.float32)
grads = random.standard_normal((20, 1000)).astype(np.float32)


def by_the_paper():
    p, m, s = start.astype(np.float64), 0, 0
    for t, g in enumerate(grads.astype(np.float64), 1):
        m = 0.9 * m + 0.1 * g
        s = 0.999 * s + 0.001 * (g - m) ** 2 + 1e-8
        p -= 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)
    return p


def by(backend):
    p = start.copy()
    with gpuopt.use_backend(backend):
        optimizer = gpuopt.Optimizer([p], rule="adabelief", lr=0.01)
        for g in grads:
            optimizer.step([g])
    return p


off = abs(by("numpy") - by_the_paper()).max()
print(f"NumPy's backend is off by at most {off:.0e}")
print(f"LLVM's has the same bits: {(by('llvm') == by('numpy')).all()}")
