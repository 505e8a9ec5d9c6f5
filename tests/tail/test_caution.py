"""Cautious updates, and decay that is cautious or apart from lr, by their papers' formulas."""

import numpy as np
import pytest

import gpuopt
from gpuopt.rules.registry import RULES
from gpuopt.rules.stages import subtracts
from tests.helpers.bits import assert_same_bits
from tests.tolerances import assert_close

LR, DECAY, STEPS = 0.03, 0.5, 50
BOTH = {"cautious": True, "cautious_weight_decay": True}
UPDATES = {"AdamW": {}, "RAdam": {"decoupled_weight_decay": True}, "Lion": {}, "Adan": {}}
"""Optimizers, and what makes their decay decoupled."""


def problem(seed=3, dtype=np.float64):
    rng = np.random.default_rng(seed)
    start = rng.standard_normal(200).astype(dtype)
    return start, [rng.standard_normal(200).astype(dtype) for _ in range(STEPS)]


def updates_of(name, gradients):
    """lr*u of each step: what the optimizer subtracts from a parameter of 0, without decay."""
    p = np.zeros(200)
    opt = getattr(gpuopt, name)([p], lr=LR, weight_decay=0.0)
    for g in gradients:
        before = p.copy()
        opt.step([g])
        yield before - p


@pytest.mark.parametrize("options", [{}, {"cautious": True}, {"cautious_weight_decay": True}, BOTH])
@pytest.mark.parametrize("name", UPDATES)
def test_a_run_is_one_of_the_formulas(name, options):
    p, gradients = problem()
    x = p.copy()
    opt = getattr(gpuopt, name)([p], lr=LR, weight_decay=DECAY, **UPDATES[name], **options)
    proximal = name == "Adan"
    for g, u in zip(gradients, updates_of(name, gradients)):
        opt.step([g])
        if options.get("cautious"):
            u = np.where(u * g > 0, u, 0.0)
        shrink = 1 / (1 + LR * DECAY) if proximal else 1 - LR * DECAY
        if options.get("cautious_weight_decay"):
            x = np.where(u * x >= 0, shrink * x, x) - u
        else:
            x = shrink * (x - u) if proximal else shrink * x - u
    assert_close(p, x, "a few cancellations float64")


def test_where_all_updates_follow_their_gradients_caution_changes_no_bit():
    (p, _), (q, _) = problem(dtype=np.float32), problem(dtype=np.float32)
    plain, cautious = (
        gpuopt.AdamW([p], weight_decay=DECAY),
        gpuopt.AdamW([q], weight_decay=DECAY, cautious=True),
    )
    for _ in range(5):
        g = np.full(200, 0.25, np.float32)
        plain.step([g])
        cautious.step([g])
    assert_same_bits(p, q)


@pytest.mark.parametrize("tiny", [1e-30, -1e-30, 1e-42])
def test_products_that_underflow_have_a_sign(tiny):
    p, g = np.full(1, tiny, np.float32), np.full(1, tiny, np.float32)
    opt = gpuopt.Lion([p], lr=1e-20, weight_decay=1e19, **BOTH)
    opt.step([g])
    assert p == np.float32(0.9) * np.float32(tiny) - np.sign(np.float32(tiny)) * np.float32(1e-20)
    opt.step([-g])  # which the momentum follows, too: against p, so that nothing decays
    assert opt.state[0]["step"] == 2


def test_no_decay_and_no_gradient():
    p = np.ones(2, np.float32)
    opt = gpuopt.AdamW([p], weight_decay=0.0, **BOTH)
    opt.step([np.zeros(2, np.float32)])
    assert (p == 1).all()


def test_what_cannot_be_cautious_is_refused_before_anything_changes():
    for make, words in (
        (lambda p: gpuopt.ASGD([p], cautious=True), "cautious: 'asgd' does more"),
        (
            lambda p: gpuopt.CAdamW([p], cautious_weight_decay=True),
            "cautious_weight_decay: 'cautious_adamw' does more",
        ),
        (
            lambda p: gpuopt.Adam([p], weight_decay=0.1, cautious_weight_decay=True),
            "cautious_weight_decay: expected a rule whose decay is decoupled, got 'adam'",
        ),
    ):
        p = np.ones(2, np.float32)
        opt = make(p)
        with pytest.raises(ValueError, match=words):
            opt.step([np.ones(2, np.float32)])
        assert (p == 1).all()


def test_all_other_rules_can_be():
    more_than_a_subtraction = {
        *("asgd", "cautious_adamw", "stable_adamw", "mars"),
        *("lamb", "lars", "lars_nesterov"),  # whose update depends on the parameter
        *("sgd_schedule_free", "adamw_schedule_free", "radam_schedule_free"),
        *("dadapt_adam", "dadapt_adamw"),  # nothing moves before there is an estimate
        *("prodigy", "prodigy_l2", "prodigy_one_pass", "prodigy_l2_one_pass"),
    }
    refused = {name for name, rule in RULES.items() if not subtracts(rule)}
    assert refused == more_than_a_subtraction


def test_a_rule_with_sums_cannot_be():
    """Its sums would be found where the parameter is set aside."""
    rule = gpuopt.register(
        "halved",
        lambda p, g, step_size: p - step_size * g,
        lambda step, of_p, lr: (lr * of_p,),
        hyperparameters={"lr": 0.5},
        sums=("of_p",),
        summed=lambda p: (p,),
    )
    try:
        assert not subtracts(rule)
    finally:
        del RULES["halved"]


# --- decay by the schedule of lr alone ------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"cautious_weight_decay": True}])
@pytest.mark.parametrize("name", UPDATES)
def test_decay_follows_the_schedule_and_not_its_size(name, options):
    """With a tenth of the peak, p shrinks by a tenth of weight_decay, whatever the peak."""
    p, gradients = problem()
    x = p.copy()
    opt = getattr(gpuopt, name)(
        [p], lr=LR, weight_decay=DECAY, decouple_lr=LR / 0.1, **UPDATES[name], **options
    )
    for g, u in zip(gradients, updates_of(name, gradients)):
        opt.step([g])
        shrink = 1 / (1 + 0.1 * DECAY) if name == "Adan" else 1 - 0.1 * DECAY
        if options:
            x = np.where(u * x >= 0, shrink * x, x) - u
        else:
            x = shrink * (x - u) if name == "Adan" else shrink * x - u
    assert_close(p, x, "a few cancellations float64")


def test_the_peak_may_change_and_zero_decay_changes_nothing():
    p, q, g = np.ones(3), np.ones(3), np.zeros(3)
    opt = gpuopt.AdamW([p, q], lr=0.5, weight_decay=0.25, decouple_lr=0.5)
    opt.step([g, g])
    opt.change(decouple_lr=1.0)
    opt.step([g, g])
    assert (p == 0.75 * 0.875).all()
    opt.param_groups[0]["weight_decay"] = 0.0
    opt.step([g, g])
    assert (p == 0.75 * 0.875).all()


@pytest.mark.parametrize("option", [{"decouple_lr": 0.1}, {"cautious_weight_decay": True}])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Adam", "whose decay is decoupled, got 'adam'"),
        ("LAMB", "whose update leaves decay to a stage of its own, got 'lamb'"),
        ("LARS", "whose update leaves decay to a stage of its own, got 'lars'"),
        ("StableAdamW", "whose update leaves decay to a stage of its own, got 'stable_adamw'"),
    ],
)
def test_options_of_a_decoupled_decay_are_refused_where_there_is_none(name, expected, option):
    p = np.ones(2, np.float32)
    opt = getattr(gpuopt, name)([p], lr=0.1, **option)
    (used,) = option
    with pytest.raises(ValueError, match=f"{used}: expected a rule {expected}"):
        opt.step([np.ones(2, np.float32)])
    assert (p == 1).all()


def test_a_peak_is_above_zero():
    with pytest.raises(ValueError, match="decouple_lr: expected None or a number above 0, got 0"):
        gpuopt.AdamW([np.ones(2)], decouple_lr=0)
