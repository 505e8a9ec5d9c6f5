"""NumPy arrays, or CuPy arrays on a GPU: a two-layer network without torch.

```diff
+import gpuopt
@@
-average = {name: p.copy() for name, p in weights.items()}
-m = {name: xp.zeros_like(p) for name, p in weights.items()}
-v = {name: xp.zeros_like(p) for name, p in weights.items()}
+optimizer = gpuopt.Adam(weights, lr=0.01, clip_norm=1.0, ema_decay=0.95)
@@
     loss, grads = loss_and_grads(x[batch], y[batch], **weights)
-    norm = sum(float((g**2).sum()) for g in grads.values()) ** 0.5
-    for name, p in weights.items():
-        g = min(1.0, 1.0 / (norm + 1e-6)) * grads[name]
-        m[name] = 0.9 * m[name] + 0.1 * g
-        v[name] = 0.999 * v[name] + 0.001 * g**2
-        m_hat, v_hat = m[name] / (1 - 0.9**step), v[name] / (1 - 0.999**step)
-        p -= 0.01 * m_hat / (xp.sqrt(v_hat) + 1e-8)
-        average[name] += 0.05 * (p - average[name])
+    optimizer.step(grads)
@@
-loss, _ = loss_and_grads(x, y, **average)
+with optimizer.ema_weights():
+    loss, _ = loss_and_grads(x, y, **weights)
```

torch.optim takes no arrays: the diff is against Adam, clipping and an average written by hand.
"""

import numpy as np

import gpuopt

try:
    import cupy
except ImportError:
    xp = np
else:
    xp = cupy if cupy.is_available() else np

random = np.random.default_rng(0)


def noise(*shape):
    return xp.asarray(random.standard_normal(shape, np.float32))


def loss_and_grads(x, y, w1, b1, w2, b2):
    hidden = xp.maximum(x @ w1 + b1, 0)
    logits = hidden @ w2 + b2
    powers = xp.exp(logits - logits.max(axis=1, keepdims=True))
    chances = powers / powers.sum(axis=1, keepdims=True)
    right = xp.arange(len(y)), y
    loss = -float(xp.log(chances[right]).mean())

    chances[right] -= 1
    d_logits = chances / len(y)
    d_hidden = d_logits @ w2.T * (hidden > 0)
    return loss, {
        "w1": x.T @ d_hidden,
        "b1": d_hidden.sum(axis=0),
        "w2": hidden.T @ d_logits,
        "b2": d_logits.sum(axis=0),
    }


x = noise(4096, 32)
y = (x @ noise(32, 10)).argmax(axis=1)
weights = {
    "w1": noise(32, 128) / 6,
    "b1": xp.zeros(128, np.float32),
    "w2": noise(128, 10) / 11,
    "b2": xp.zeros(10, np.float32),
}
optimizer = gpuopt.Adam(weights, lr=0.01, clip_norm=1.0, ema_decay=0.95)

for step in range(1, 201):
    batch = xp.asarray(random.integers(len(x), size=256))
    loss, grads = loss_and_grads(x[batch], y[batch], **weights)
    optimizer.step(grads)
    if step % 50 == 1:
        print(f"step {step:3}: loss {loss:.3f}")

with optimizer.ema_weights():
    loss, _ = loss_and_grads(x, y, **weights)
print(f"averaged weights: loss {loss:.3f} over all data, {xp.__name__} arrays")
