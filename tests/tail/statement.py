"""A training step in plain NumPy, as its documentation says it; nothing of gpuopt is used."""

import ml_dtypes
import numpy as np

F = np.float32
NARROW = ("float16", "bfloat16")


def dtype_of(name):
    """NumPy's dtype, with bfloat16."""
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


class Statement:
    """Adam over arrays with everything around it, in float32 (float64 for float64 arrays)."""

    def __init__(self, params, lr, **tail):
        """Copy the parameters."""
        self.params = [p.copy() for p in params]
        self.states = [{} for _ in params]
        self.tail, self.lr, self.t, self.skipped = tail, lr, 0, 0
        self.norm = None

    def step(self, grads, scale=1.0):
        """Update them; returns what the gradients are afterwards."""
        tail = self.tail
        wide = [g.astype(np.float64) for g in grads]
        self.norm = np.sqrt(sum((g * g).sum() for g in wide)) / scale
        finite = all(np.isfinite(g).all() for g in wide)
        after = [np.zeros_like(g) for g in grads] if tail.get("zero_grads") else grads
        if tail.get("skip_nonfinite") and not finite:
            self.skipped += 1
            return after
        self.t += 1
        factor = 1.0 / scale
        if "clip_norm" in tail:
            factor *= min(1.0, tail["clip_norm"] / (self.norm + 1e-6))
        for i, g in enumerate(grads):
            self._update(i, g, factor)
        return after

    def _update(self, i, g, factor):
        stored, held, tail = self.params[i], self.states[i], self.tail
        compute = np.float64 if stored.dtype == np.float64 else F
        narrow = stored.dtype.name in NARROW
        if narrow and tail.get("master_weights"):
            p = held.setdefault("master", stored.astype(F))
        elif narrow and tail.get("kahan_sum"):
            p = stored.astype(F) + held.setdefault("kahan_comp", np.zeros_like(stored)).astype(F)
        else:
            p = stored.astype(compute)
        if "ema_decay" in tail:
            held.setdefault("ema", stored.astype(compute))
        g = g.astype(compute)
        if factor != 1.0 or "clip_norm" in tail:
            g = compute(factor) * g
        if "clip_value" in tail:
            g = np.clip(g, -compute(tail["clip_value"]), compute(tail["clip_value"]))
        p = self._adam(p, g, i, compute)
        if narrow and tail.get("master_weights"):
            held["master"] = p
            self.params[i] = p.astype(stored.dtype)
        elif narrow and tail.get("kahan_sum"):
            self.params[i] = p.astype(stored.dtype)
            held["kahan_comp"] = (p - self.params[i].astype(F)).astype(stored.dtype)
            p = self.params[i].astype(F)
        else:
            by_chance = tail.get("stochastic_rounding") and stored.dtype.name == "bfloat16"
            self.params[i] = self._by_chance(p, i) if by_chance else p.astype(stored.dtype)
            p = self.params[i].astype(compute)
        if "ema_decay" in tail:
            weight = compute(1.0 - tail["ema_decay"])
            held["ema"] = held["ema"] + weight * (p - held["ema"])

    def _adam(self, p, g, i, compute):
        held = self.states[i]
        m = held.get("exp_avg", np.zeros(p.shape)).astype(compute)
        v = held.get("exp_avg_sq", np.zeros(p.shape)).astype(compute)
        m = compute(0.9) * m + compute(1 - 0.9) * g
        v = compute(0.999) * v + compute(1 - 0.999) * (g * g)
        for place, (name, state) in enumerate((("exp_avg", m), ("exp_avg_sq", v))):
            held[name] = self._stored_state(state, place, i)
        size = compute(self.lr / (1 - _power(0.9, self.t)))
        root = compute(1 / np.sqrt(1 - _power(0.999, self.t)))
        return p - size * (m / (np.sqrt(v) * root + compute(1e-8)))

    def _by_chance(self, p, i):
        """Add 16 random bits to those that are cut off."""
        return _to_bfloat16(p, self._words(p, i, 0) % 2**16)

    def _stored_state(self, x, place, i):
        """Round a state to its dtype: pairs of bfloat16 share a stream of random words."""
        dtype = self.tail.get("state_dtype")
        if dtype == "bfloat16":
            words = self._words(x, i, 1 + place // 2)
            return _to_bfloat16(x, words >> 16 if place % 2 else words % 2**16)
        if dtype == "float16":
            return _to_float16(x, self._words(x, i, 1 + place))
        return x

    def _words(self, x, i, stream):
        seed = np.random.SeedSequence([self.tail.get("seed", 0), i]).generate_state(1)[0]
        self.states[i]["rounding_seed"] = float(seed)
        element = np.arange(x.size).reshape(x.shape)
        counter = [element // 4, element // 4 >> 32, self.t, self.t >> 32]
        return np.choose(element % 4, philox4x32(counter, [seed, stream]))


def _to_bfloat16(x, random):
    """Add the random bits, and cut off as many."""
    bits = (x.astype(F).view(np.uint32) + random).astype(np.uint32) >> 16
    return bits.astype(np.uint16).view(ml_dtypes.bfloat16)


def _to_float16(x, words):
    """Between the two float16 around x: up, if the fraction of the way is larger than chance."""
    x = x.astype(F)
    below = np.abs(x).astype(np.float16)
    below = np.where(below > np.abs(x), np.nextafter(below, np.float16(0)), below)
    above = np.nextafter(below, np.float16(np.inf))
    gap = above.astype(float) - below.astype(float)
    way = (np.abs(x).astype(float) - below.astype(float)) / gap
    normal = np.abs(x) >= 2.0**-14
    up = np.where(normal, words % 2**13 >= 2**13 * (1 - way), (words // 2**9 + 0.5) / 2**23 < way)
    return np.copysign(np.minimum(np.where(up, above, below), 65504), x).astype(np.float16)


def philox4x32(counter, key):
    """Four random 32-bit words, by the ten rounds of Salmon et al. (2011)."""
    # Of NumPy's type, since NumPy 1 takes Python's numbers beside one word for signed.
    number, half = np.uint64, np.uint64(2**32)
    a, b, c, d = (np.asarray(word).astype(number) % half for word in counter)
    k, m = (int(word) for word in key)
    for _ in range(7):
        left, right = a * number(0xD2511F53), c * number(0xCD9E8D57)
        a, b = right // half ^ b ^ number(k), right % half
        c, d = left // half ^ d ^ number(m), left % half
        k, m = (k + 0x9E3779B9) % 2**32, (m + 0xBB67AE85) % 2**32
    return [np.broadcast_to(word, np.shape(counter[0])).astype(np.int64) for word in (a, b, c, d)]


def _power(base, n):
    """By squaring, which rounds otherwise than libm's pow."""
    result = 1.0
    while n:
        if n & 1:
            result *= base
        base *= base
        n >>= 1
    return result
