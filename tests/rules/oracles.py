"""What the rules are compared with: the formulas, written out, and torch.optim.

A rule without a formula, an optimizer without an entry in `TORCH`, an option without values:
each fails a test, so nothing new goes unchecked.
"""

import itertools
from functools import partial
from math import inf, log, sqrt

import numpy as np

import gpuopt
from gpuopt.engine.compose import compose, stages_for
from gpuopt.engine.step import FusedStep, Group
from gpuopt.rules.definitions import DEFINITIONS
from gpuopt.rules.ranges import NOT_GIVEN
from gpuopt.rules.rule import parameters_of

# --- the formulas, as they are printed ----------------------------------------------------
# Each takes a parameter p, a gradient g, the states s (a dict of floats, zero at the start),
# the step t (1 for the first) and the options o, and returns the new parameter.


def gradient_descent(p, g, s, t, o):
    return p - o["lr"] * g


def momentum(p, g, s, t, o):
    s["momentum_buffer"] = o["beta"] * s["momentum_buffer"] + o["lr"] * g
    return p - s["momentum_buffer"]


def nesterov(p, g, s, t, o):
    s["momentum_buffer"] = o["beta"] * s["momentum_buffer"] + o["lr"] * g
    return p - (o["beta"] * s["momentum_buffer"] + o["lr"] * g)


def rmsprop(p, g, s, t, o):
    s["square_avg"] = o["beta"] * s["square_avg"] + (1 - o["beta"]) * g**2
    return p - o["lr"] * g / (sqrt(s["square_avg"]) + o["eps"])


def rmsprop_centered(p, g, s, t, o):
    s["square_avg"] = o["beta"] * s["square_avg"] + (1 - o["beta"]) * g**2
    s["grad_avg"] = o["beta"] * s["grad_avg"] + (1 - o["beta"]) * g
    return p - o["lr"] * g / (sqrt(s["square_avg"] - s["grad_avg"] ** 2) + o["eps"])


def rmsprop_momentum(p, g, s, t, o):
    s["square_avg"] = o["beta"] * s["square_avg"] + (1 - o["beta"]) * g**2
    step = g / (sqrt(s["square_avg"]) + o["eps"])
    s["momentum_buffer"] = o["momentum"] * s["momentum_buffer"] + step
    return p - o["lr"] * s["momentum_buffer"]


def rmsprop_centered_momentum(p, g, s, t, o):
    s["square_avg"] = o["beta"] * s["square_avg"] + (1 - o["beta"]) * g**2
    s["grad_avg"] = o["beta"] * s["grad_avg"] + (1 - o["beta"]) * g
    step = g / (sqrt(s["square_avg"] - s["grad_avg"] ** 2) + o["eps"])
    s["momentum_buffer"] = o["momentum"] * s["momentum_buffer"] + step
    return p - o["lr"] * s["momentum_buffer"]


def adam(p, g, s, t, o):
    s["exp_avg"] = o["beta1"] * s["exp_avg"] + (1 - o["beta1"]) * g
    s["exp_avg_sq"] = o["beta2"] * s["exp_avg_sq"] + (1 - o["beta2"]) * g**2
    m = s["exp_avg"] / (1 - o["beta1"] ** t)
    v = s["exp_avg_sq"] / (1 - o["beta2"] ** t)
    return p - o["lr"] * m / (np.sqrt(v) + o["eps"])


def amsgrad(p, g, s, t, o):
    s["exp_avg"] = o["beta1"] * s["exp_avg"] + (1 - o["beta1"]) * g
    s["exp_avg_sq"] = o["beta2"] * s["exp_avg_sq"] + (1 - o["beta2"]) * g**2
    s["max_exp_avg_sq"] = max(s["max_exp_avg_sq"], s["exp_avg_sq"])
    m = s["exp_avg"] / (1 - o["beta1"] ** t)
    v = s["max_exp_avg_sq"] / (1 - o["beta2"] ** t)
    return p - o["lr"] * m / (sqrt(v) + o["eps"])


def adagrad(p, g, s, t, o):
    s["sum"] = s["sum"] + g**2
    return p - o["lr"] / (1 + (t - 1) * o["lr_decay"]) * g / (sqrt(s["sum"]) + o["eps"])


def sgd_momentum(p, g, s, t, o):
    b, dampening = s["momentum_buffer"], o["dampening"] if t > 1 else 0
    s["momentum_buffer"] = o["momentum"] * b + (1 - dampening) * g
    return p - o["lr"] * s["momentum_buffer"]


def sgd_nesterov(p, g, s, t, o):
    sgd_momentum(p, g, s, t, o)
    return p - o["lr"] * (g + o["momentum"] * s["momentum_buffer"])


def adadelta(p, g, s, t, o):
    s["square_avg"] = o["rho"] * s["square_avg"] + (1 - o["rho"]) * g**2
    delta = sqrt(s["acc_delta"] + o["eps"]) / sqrt(s["square_avg"] + o["eps"]) * g
    s["acc_delta"] = o["rho"] * s["acc_delta"] + (1 - o["rho"]) * delta**2
    return p - o["lr"] * delta


def adamax(p, g, s, t, o):
    s["exp_avg"] = o["beta1"] * s["exp_avg"] + (1 - o["beta1"]) * g
    s["exp_inf"] = max(o["beta2"] * s["exp_inf"], abs(g) + o["eps"])
    return p - o["lr"] / (1 - o["beta1"] ** t) * s["exp_avg"] / s["exp_inf"]


def radam(p, g, s, t, o):
    s["exp_avg"] = o["beta1"] * s["exp_avg"] + (1 - o["beta1"]) * g
    s["exp_avg_sq"] = o["beta2"] * s["exp_avg_sq"] + (1 - o["beta2"]) * g**2
    m = s["exp_avg"] / (1 - o["beta1"] ** t)
    longest = 2 / (1 - o["beta2"]) - 1
    rho = longest - 2 * t * o["beta2"] ** t / (1 - o["beta2"] ** t)
    if rho <= 5:
        return p - o["lr"] * m
    r = sqrt((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho))
    v = sqrt(1 - o["beta2"] ** t) / (sqrt(s["exp_avg_sq"]) + o["eps"])
    return p - o["lr"] * m * r * v


def rprop(p, g, s, t, o):
    if g * s["prev"] > 0:
        s["step_size"] = min(s["step_size"] * o["etaplus"], o["step_size_max"])
    elif g * s["prev"] < 0:
        s["step_size"] = max(s["step_size"] * o["etaminus"], o["step_size_min"])
        g = 0.0
    s["step_size"] = min(max(s["step_size"], o["step_size_min"]), o["step_size_max"])
    s["prev"] = g
    return p - s["step_size"] * sign(g)


def nadam(p, g, s, t, o):
    def mu(t):
        return o["beta1"] * (1 - 0.5 * 0.96 ** (t * o["momentum_decay"]))

    s["mu_product"] = s["mu_product"] * mu(t)
    s["exp_avg"] = o["beta1"] * s["exp_avg"] + (1 - o["beta1"]) * g
    s["exp_avg_sq"] = o["beta2"] * s["exp_avg_sq"] + (1 - o["beta2"]) * g**2
    ahead = mu(t + 1) * s["exp_avg"] / (1 - s["mu_product"] * mu(t + 1))
    m = (1 - mu(t)) * g / (1 - s["mu_product"]) + ahead
    return p - o["lr"] * m / (sqrt(s["exp_avg_sq"] / (1 - o["beta2"] ** t)) + o["eps"])


def asgd(p, g, s, t, o):
    p = (1 - o["lambd"] * s["eta"]) * p - s["eta"] * g
    s["ax"] = s["ax"] + s["mu"] * (p - s["ax"])
    s["eta"] = o["lr"] / (1 + o["lambd"] * o["lr"] * t) ** o["alpha"]
    s["mu"] = 1 / max(1, t - o["t0"])
    return p


def lion(p, g, s, t, o):
    direction = sign(o["beta1"] * s["exp_avg"] + (1 - o["beta1"]) * g)
    s["exp_avg"] = o["beta2"] * s["exp_avg"] + (1 - o["beta2"]) * g
    return p - o["lr"] * direction


def sgd_schedule_free(p, g, s, t, o):
    return schedule_free(p, g, s, t, o, warmed_up(t, o), o["momentum"])


def adamw_schedule_free(p, g, s, t, o):
    s["exp_avg_sq"] = o["beta2"] * s["exp_avg_sq"] + (1 - o["beta2"]) * g**2
    v = s["exp_avg_sq"] / (1 - o["beta2"] ** t)
    step = g / (sqrt(v) + o["eps"]) + o["weight_decay"] * p
    return schedule_free(p, step, s, t, o, warmed_up(t, o), o["beta1"])


def radam_schedule_free(p, g, s, t, o):
    s["exp_avg_sq"] = o["beta2"] * s["exp_avg_sq"] + (1 - o["beta2"]) * g**2
    longest = 2 / (1 - o["beta2"]) - 1
    rho = longest - 2 * t * o["beta2"] ** t / (1 - o["beta2"] ** t)
    lr = o["lr"] * (not o["silent_sgd_phase"])
    if rho > 4:
        known = (rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho)
        lr = o["lr"] * sqrt(known)
        g = g / (sqrt(s["exp_avg_sq"] / (1 - o["beta2"] ** t)) + o["eps"])
    return schedule_free(p, g + o["weight_decay"] * p, s, t, o, lr, o["beta1"])


def schedule_free(y, step, s, t, o, lr, beta):
    s["lr_max"] = max(lr, s["lr_max"])
    weight = t ** o["r"] * s["lr_max"] ** o["weight_lr_power"]
    s["weight_sum"] += weight
    c = weight / s["weight_sum"] if s["weight_sum"] else 0
    y = (1 - c) * y + c * s["z"] + lr * (beta * (1 - c) - 1) * step
    s["z"] = s["z"] - lr * step
    return y


def warmed_up(t, o):
    return o["lr"] * min(1, t / max(1, o["warmup_steps"]))


def sophiag(p, g, s, t, o):
    s["exp_avg"] = o["beta1"] * s["exp_avg"] + (1 - o["beta1"]) * g
    ratio = abs(s["exp_avg"]) / (o["rho"] * o["bs"] * s["hessian"] + 1e-15)
    return p - o["lr"] * sign(s["exp_avg"]) * min(ratio, 1)


def sign(x):
    return (x > 0) - (x < 0)


def ademamix(p, g, s, t, o):
    alpha, beta3 = o["alpha"], o["beta3"]
    if t < o["alpha_warmup"]:
        alpha = t / o["alpha_warmup"] * alpha
    if t < o["beta3_warmup"]:
        done = t / o["beta3_warmup"]
        lives = [log(0.5) / log(o[beta] + 1e-8) - 1 for beta in ("beta1", "beta3")]
        beta3 = 0.5 ** (1 / ((1 - done) * lives[0] + done * lives[1] + 1))
    s["exp_avg_fast"] = o["beta1"] * s["exp_avg_fast"] + (1 - o["beta1"]) * g
    s["exp_avg_slow"] = beta3 * s["exp_avg_slow"] + (1 - beta3) * g
    s["exp_avg_sq"] = o["beta2"] * s["exp_avg_sq"] + (1 - o["beta2"]) * g**2
    mixed = s["exp_avg_fast"] / (1 - o["beta1"] ** t) + alpha * s["exp_avg_slow"]
    return p - o["lr"] * mixed / (sqrt(s["exp_avg_sq"] / (1 - o["beta2"] ** t)) + o["eps"])


def adan(p, g, s, t, o):
    difference = g + s["neg_pre_grad"] if t > 1 else 0.0
    s["neg_pre_grad"] = -g
    s["exp_avg"] = o["beta1"] * s["exp_avg"] + (1 - o["beta1"]) * g
    s["exp_avg_diff"] = o["beta2"] * s["exp_avg_diff"] + (1 - o["beta2"]) * difference
    ahead = g + o["beta2"] * difference
    s["exp_avg_sq"] = o["beta3"] * s["exp_avg_sq"] + (1 - o["beta3"]) * ahead**2
    root = sqrt(s["exp_avg_sq"] / (1 - o["beta3"] ** t)) + o["eps"]
    p = p - o["lr"] * s["exp_avg"] / (1 - o["beta1"] ** t) / root
    return p - o["lr"] * o["beta2"] * s["exp_avg_diff"] / (1 - o["beta2"] ** t) / root


def adopt(p, g, s, t, o):
    if t == 1:
        s["exp_avg_sq"] = g**2
        return p
    ratio = g / max(sqrt(s["exp_avg_sq"]), o["eps"])
    ratio = min(max(ratio, -((t - 1) ** 0.25)), (t - 1) ** 0.25)
    s["exp_avg"] = o["beta1"] * s["exp_avg"] + (1 - o["beta1"]) * ratio
    s["exp_avg_sq"] = o["beta2"] * s["exp_avg_sq"] + (1 - o["beta2"]) * g**2
    return p - o["lr"] * s["exp_avg"]


def laprop(p, g, s, t, o):
    s["exp_avg_sq"] = o["beta2"] * s["exp_avg_sq"] + (1 - o["beta2"]) * g**2
    ratio = g / (sqrt(s["exp_avg_sq"] / (1 - o["beta2"] ** t)) + o["eps"])
    s["exp_avg"] = o["beta1"] * s["exp_avg"] + (1 - o["beta1"]) * o["lr"] * ratio
    s["exp_avg_lr"] = o["beta1"] * s["exp_avg_lr"] + (1 - o["beta1"]) * o["lr"]
    return p - s["exp_avg"] * o["lr"] / s["exp_avg_lr"] if o["lr"] else p


FORMULAS = {
    "gradient_descent": gradient_descent,
    "momentum": momentum,
    "nesterov": nesterov,
    "rmsprop": rmsprop,
    "rmsprop_centered": rmsprop_centered,
    "rmsprop_momentum": rmsprop_momentum,
    "rmsprop_centered_momentum": rmsprop_centered_momentum,
    "adam": adam,
    "amsgrad": amsgrad,
    "adamw": adam,
    "adamw_amsgrad": amsgrad,
    "adagrad": adagrad,
    "sgd_momentum": sgd_momentum,
    "sgd_nesterov": sgd_nesterov,
    "adadelta": adadelta,
    "adamax": adamax,
    "radam": radam,
    "radamw": radam,
    "rprop": rprop,
    "lion": lion,
    "nadam": nadam,
    "nadamw": nadam,
    "asgd": asgd,
    "ademamix": ademamix,
    "adan": adan,
    "adan_no_prox": adan,
    "adopt": adopt,
    "adopt_decoupled": adopt,
    "laprop": laprop,
    "sgd_schedule_free": sgd_schedule_free,
    "adamw_schedule_free": adamw_schedule_free,
    "radam_schedule_free": radam_schedule_free,
    "sophiag": sophiag,
}
"""By rule. What is apart from the formula (weight decay, maximize) is in `by_formula`."""

DECOUPLED = (
    *("adamw", "adamw_amsgrad", "radamw", "lion", "nadamw", "cautious_adamw", "sophiag"),
    *("ademamix", "adan", "adan_no_prox", "adopt_decoupled", "laprop"),
)
"""The rules whose decay shrinks the parameter; others' is added to the gradient."""

NEUTRAL = {"weight_decay": 0.0, "maximize": 0.0, "grad_factor": 1.0}
"""The options that every rule has beside its own, where they change nothing."""


# Those with sums take the arrays of a tensor.


def lars(p, g, s, t, o):
    if p.ndim > 1:
        norm_p, norm_g = np.linalg.norm(p), np.linalg.norm(g)
        ratio = o["trust_coefficient"] * norm_p / (norm_g + o["weight_decay"] * norm_p)
        g = ratio * (g + o["weight_decay"] * p)
    dampening = o["dampening"] if o["momentum"] else 0
    s["momentum_buffer"] = o["momentum"] * s["momentum_buffer"] + (1 - dampening) * g
    return p - o["lr"] * s["momentum_buffer"], g


def lars_nesterov(p, g, s, t, o):
    _, g = lars(p, g, s, t, o)
    return p - o["lr"] * (g + o["momentum"] * s["momentum_buffer"])


def lamb(p, g, s, t, o):
    s["exp_avg"] = o["beta1"] * s["exp_avg"] + (1 - o["beta1"]) * g
    s["exp_avg_sq"] = o["beta2"] * s["exp_avg_sq"] + (1 - o["beta2"]) * g**2
    m, v = s["exp_avg"] / (1 - o["beta1"] ** t), s["exp_avg_sq"] / (1 - o["beta2"] ** t)
    step = m / (np.sqrt(v) + o["eps"]) + o["weight_decay"] * p
    return p - o["lr"] * np.linalg.norm(p) / np.linalg.norm(step) * step


def stable_adamw(p, g, s, t, o):
    b1, b2 = ((b**t - b) / (b**t - 1) for b in (o["beta1"], o["beta2"]))
    s["exp_avg"] = b1 * s["exp_avg"] + (1 - b1) * g
    s["exp_avg_sq"] = b2 * s["exp_avg_sq"] + (1 - b2) * g**2
    lr = o["lr"] / max(1, sqrt(np.mean(g**2 / np.maximum(s["exp_avg_sq"], o["eps"] ** 2))))
    return p * (1 - lr * o["weight_decay"]) - lr * s["exp_avg"] / (
        np.sqrt(s["exp_avg_sq"]) + o["eps"]
    )


def cautious_adamw(p, g, s, t, o):
    after = adam(p, g, s, t, o)
    mask = s["exp_avg"] * g > 0
    return p + (after - p) * mask / max(np.mean(mask), 1e-3)


def mars(p, g, s, t, o):
    c, last, s["last_grad"] = g, s["last_grad"], g
    lr, decay, betas = o["lr"], o["weight_decay"], (o["beta1"], o["beta2"])
    if p.ndim == 2 or o["optimize_1d"]:
        c = g + o["gamma"] * o["beta1"] / (1 - o["beta1"]) * (g - last)
        c = c / max(1, np.linalg.norm(c))
    else:
        lr, decay = lr * o["lr_1d_factor"], o["weight_decay_1d"]
        betas = o["beta1_1d"], o["beta2_1d"]
    options = {"lr": lr, "beta1": betas[0], "beta2": betas[1], "eps": o["eps"]}
    return adam(p, c, s, t, options) - lr * decay * p


# Those with totals take the arrays of the only tensor; s has the shared numbers, too.


def rate_of(s, o):
    bias = sqrt(1 - o["beta2"] ** (s["k"] + 1)) / (1 - o["beta1"] ** (s["k"] + 1))
    return s["d"] * o["lr"] * (bias if o["use_bias_correction"] else 1)


def dadapt_adam(p, g, s, t, o):
    return dadapt_adamw(p, g, s, t, {**o, "weight_decay": 0.0})


def dadapt_adamw(p, g, s, t, o):
    if not o["lr"]:
        return p
    d, rate, root, scale = s["d"], rate_of(s, o), sqrt(o["beta2"]), o["layer_scale"]
    product = scale * rate * np.sum(g * s["s"] / (np.sqrt(s["exp_avg_sq"]) + o["eps"]))
    s["exp_avg"] = o["beta1"] * s["exp_avg"] + scale * rate * (1 - o["beta1"]) * g
    s["exp_avg_sq"] = o["beta2"] * s["exp_avg_sq"] + (1 - o["beta2"]) * g**2
    s["s"] = root * s["s"] + (1 - root) * rate * g
    norm = scale * np.abs(s["s"]).sum()
    if norm:
        s["numerator_weighted"] = root * s["numerator_weighted"] + (1 - root) * product
        estimate = s["numerator_weighted"] / ((1 - root) * norm)
        s["d"], s["k"] = max(d, min(estimate, d * o["growth_rate"])), s["k"] + 1
    decayed = p - rate * o["weight_decay"] * p
    return decayed - s["exp_avg"] / (np.sqrt(s["exp_avg_sq"]) + o["eps"])


def prodigy_l2(p, g, s, t, o, one_pass=False):
    return prodigy(p, g, s, t, {**o, "weight_decay": 0.0}, one_pass)


def prodigy(p, g, s, t, o, one_pass=False):
    if not o["lr"]:
        return p
    d, rate = s["d"], rate_of(s, o)
    beta3 = sqrt(o["beta2"]) if o["beta3"] < 0 else o["beta3"]
    product = d / o["d0"] * rate * np.sum(g * (s["p0"] - p))
    s["exp_avg"] = o["beta1"] * s["exp_avg"] + (1 - o["beta1"]) * d * g
    s["exp_avg_sq"] = o["beta2"] * s["exp_avg_sq"] + (1 - o["beta2"]) * (d * g) ** 2
    s["s"] = beta3 * s["s"] + d / o["d0"] * (d if o["safeguard_warmup"] else rate) * g
    norm = np.abs(s["s"]).sum()
    if norm:
        s["d_numerator"] = beta3 * s["d_numerator"] + product
        estimate = o["d_coef"] * s["d_numerator"] / norm
        start = max(d, estimate) if d == o["d0"] else d
        s["d_max"] = max(s["d_max"], estimate)
        s["d"], s["k"] = min(s["d_max"], start * o["growth_rate"]), s["k"] + 1
    elif not one_pass:
        return p
    beside = d if one_pass else s["d"]
    step = rate * s["exp_avg"] / (np.sqrt(s["exp_avg_sq"]) + beside * o["eps"])
    return p - rate * o["weight_decay"] * p - step * (1 if o["beta1"] else beside / d)


TENSOR_FORMULAS = {
    "dadapt_adam": dadapt_adam,
    "dadapt_adamw": dadapt_adamw,
    "prodigy": prodigy,
    "prodigy_l2": prodigy_l2,
    "prodigy_one_pass": partial(prodigy, one_pass=True),
    "prodigy_l2_one_pass": partial(prodigy_l2, one_pass=True),
    "lars": lambda *given: lars(*given)[0],
    "lars_nesterov": lars_nesterov,
    "lamb": lamb,
    "stable_adamw": stable_adamw,
    "cautious_adamw": cautious_adamw,
    "mars": mars,
}
FORMULAS |= TENSOR_FORMULAS


def run_of_formula(name, p, gradients, options):
    """An array after a run by the rule's formula, and its states; in float64."""
    p, gradients = p.astype(np.float64), [g.astype(np.float64) for g in gradients]
    if name in TENSOR_FORMULAS:
        return by_formula(name, p, gradients, options)
    rows = zip(*(array.ravel().tolist() for array in (p, *gradients)))
    found = [by_formula(name, x, g, options) for x, *g in rows]
    states = {k: np.array([s[k] for _, s in found]).reshape(p.shape) for k in found[0][1]}
    return np.array([x for x, _ in found]).reshape(p.shape), states


def by_formula(name, p, gradients, options):
    """One parameter after a run, by the rule's formula, in Python floats."""
    o = {**NEUTRAL, **options}
    rule = gpuopt.RULES[name]
    s = starts(rule, o, p)
    for t, g in enumerate(gradients, start=1):
        g = (-g if o["maximize"] else g) * o["grad_factor"]
        if "weight_decay" in rule.hyperparameters:
            pass
        elif name not in DECOUPLED:
            g = g + o["weight_decay"] * p
        elif name != "adan" and not (name == "adopt_decoupled" and t == 1):
            p = p - o["lr"] * o["weight_decay"] * p
        p = FORMULAS[name](p, g, s, t, o)
        if name == "adan":
            p = p / (1 + o["lr"] * o["weight_decay"])
    return p, {state: s[state] for state in rule.states}


def starts(rule, options, p):
    """What each state of a rule starts at, and what it carries from step to step."""
    states = {name: options.get(rule.initial.get(name), 0.0) for name in rule.states}
    states |= dict.fromkeys(rule.copies, p)
    numbers = {**rule.carried, **rule.shared}
    return states | {name: options.get(start, start) for name, start in numbers.items()}


def coefficients_of(rule, step, options=None):
    """The coefficients of a rule; numbers that tensors share are 0.5."""
    given = {**rule.hyperparameters, **(options or {}), **dict.fromkeys(rule.shared_names, 0.5)}
    return compose(rule).coefficients(step, given)[: len(rule.coefficient_names)]


def called(rule, values, coefficients):
    """What the update makes of p, g and the states, and of coefficients."""
    names = ("p", "g", *rule.states, *rule.coefficient_names)
    given = dict(zip(names, (*values, *coefficients)))
    return rule.update(*map(given.__getitem__, parameters_of(rule.update)))


def by_rule(rule, p, gradients, options, backend="numpy", state_dtype=None):
    """An array after a run of the rule itself, and its states."""
    numbers = {**NEUTRAL, **rule.hyperparameters, **options}
    group = Group(compose(rule, stages_for(rule, [numbers])), numbers, state_dtype)
    p = p.copy()
    step = FusedStep([p], ["p"], [0])
    with gpuopt.use_backend(backend):
        for g in gradients:
            step.run([g], [group])
    return p, step.states[0]


# --- torch.optim --------------------------------------------------------------------------

TORCHS = (
    *("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam"),
    *("ASGD", "Rprop"),
)

TORCH = {
    **{name: (name, {}) for name in TORCHS},
    "Momentum": ("SGD", {"beta": "momentum"}),
    "RMSProp": ("RMSprop", {"beta": "alpha"}),
}
"""For each optimizer, torch's, and what torch calls its options."""

NOT_IN_TORCH = (
    *("Lion", "LARS", "LAMB", "StableAdamW", "CAdamW", "MARS", "DAdaptAdam", "Prodigy"),
    *("AdEMAMix", "Adan", "ADOPT", "LaProp"),
    *("SGDScheduleFree", "AdamWScheduleFree", "RAdamScheduleFree", "SophiaG"),
)
"""The optimizers that torch.optim does not have."""

VALUES = {
    "lr": (3e-2, 1e-3),
    "beta": (0.5, 0.95),  # not 0: centered RMSProp would divide rounding errors
    "betas": ((0.9, 0.999), (0.0, 0.5)),
    "eps": (1e-8, 0.5),  # ADOPT's counts only above the root
    "momentum": (0.0, 0.9, 0.5),
    "weight_decay": (0.0, 0.05),
    "dampening": (0.0, 0.5),
    "rho": (0.5, 0.9),
    "etas": ((0.5, 1.2), (0.3, 2.0)),
    "step_sizes": ((1e-6, 50.0), (5e-3, 1.1e-2)),
    "lr_decay": (0.0, 0.1),
    "momentum_decay": (4e-3, 0.5),
    "lambd": (1e-4, 0.5),
    "alpha": (0.75, 0.3),
    "decoupled_weight_decay": (False, True),
    "t0": (1e6, 2.0),
    "initial_accumulator_value": (0.0, 0.5),
    "maximize": (False, True),
    "nesterov": (False, True),
    "centered": (False, True),
    "amsgrad": (False, True),
    "trust_coefficient": (1e-3, 0.5),
    "gamma": (0.025, 0.5),
    "optimize_1d": (False, True),
    "lr_1d_factor": (1.0, 0.5),
    "betas_1d": ((0.9, 0.95), (0.0, 0.5)),
    "weight_decay_1d": (0.0, 0.1),
    "beta3": (None, 0.5),
    "use_bias_correction": (False, True),
    "safeguard_warmup": (False, True),
    "one_pass": (False, True),
    "d0": (1e-6, 1e-2),
    "d_coef": (1.0, 2.0),
    "growth_rate": (inf, 1.5),
    "layer_scale": (1.0, 0.5),
    "beta3_warmup": (0.0, 5.0, 100.0),
    "alpha_warmup": (0.0, 7.0),
    "no_prox": (False, True),
    "decouple": (False, True),
    "warmup_steps": (0.0, 10.0),
    "r": (0.0, 0.5),
    "weight_lr_power": (2.0, 0.0),
    "silent_sgd_phase": (True, False),
    "train_mode": (False, True),
    "bs": (5120.0, 1.0),
}
"""For each option of any optimizer, the values of the grid; 0 and False where they exist."""

THREE_BETAS = ((0.9, 0.999, 0.9999), (0.0, 0.5, 0.75))
"""The values where betas are three numbers."""


def grid_of(option):
    """The values of the grid for an option of an optimizer."""
    return THREE_BETAS if len(option.ranges) == 3 else VALUES[option.name]


def optimizers():
    """Every public optimizer that a definition is behind, by name."""
    return {name: getattr(gpuopt, name) for name in DEFINITIONS}


def training(name):
    """The option without which an optimizer takes no steps, if it has one."""
    return {"train_mode": True} if "train_mode" in DEFINITIONS[name].defaults else {}


def rules_of(name):
    """The names of the rules that an optimizer's options can choose."""
    return set(DEFINITIONS[name].rules.values())


def grid(name):
    """Every combination of the options of an optimizer that it takes."""
    definition = DEFINITIONS[name]
    names = list(definition.defaults)
    for values in itertools.product(*map(grid_of, definition.options)):
        options = dict(zip(names, values))
        if accepted(definition, options):
            yield options


def accepted(definition, options):
    """Whether options do not exclude each other."""
    try:
        if definition.check is not None:
            definition.check(options)
    except ValueError:
        return False
    return True


def values_of(option):
    """The values of the grid for a hyperparameter of a rule."""
    for several in SEVERAL:
        if option in several.parts:
            place = several.parts.index(option)
            return [value[place] for value in grid_of(several)]
    return [NOT_GIVEN if value is None else value for value in VALUES[option]]


SEVERAL = [
    option
    for definition in DEFINITIONS.values()
    for option in definition.options
    if len(option.parts) > 1
]
"""Options that are several of a rule's hyperparameters."""


def reached(name):
    """The rules that the grid of an optimizer runs."""
    return {DEFINITIONS[name].rule_for(options).name for options in grid(name)}
