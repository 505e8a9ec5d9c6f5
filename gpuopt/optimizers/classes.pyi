"""The optimizers over plain arrays. Written by `make stubs`."""

from typing import Any, SupportsFloat

from .base import Optimizer as Optimizer
from .passes import HessianUpdates, Modes

__all__ = [
    "ADOPT",
    "ASGD",
    "AdEMAMix",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "AdamWScheduleFree",
    "Adamax",
    "Adan",
    "CAdamW",
    "DAdaptAdam",
    "LAMB",
    "LARS",
    "LaProp",
    "Lion",
    "MARS",
    "Momentum",
    "NAdam",
    "Optimizer",
    "Prodigy",
    "RAdam",
    "RAdamScheduleFree",
    "RMSProp",
    "RMSprop",
    "Rprop",
    "SGD",
    "SGDScheduleFree",
    "SophiaG",
    "StableAdamW",
]

class Adadelta(Optimizer):
    r"""Steps whose size follows from the sizes of the gradients and of earlier steps.

    .. math::
        s = \rho s + (1-\rho) g^2, \quad
        \Delta = \sqrt{u + \epsilon} / \sqrt{s + \epsilon} \cdot g, \quad
        u = \rho u + (1-\rho) \Delta^2, \quad p = p - lr \cdot \Delta

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        rho: decay rate of the running means, in [0, 1].
        eps: added under both square roots, at least 0.
        weight_decay: L2 penalty; at least 0.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.zeros(1, np.float32)
    >>> opt = Adadelta([w], lr=1.0, rho=0.0, eps=9.0)
    >>> opt.step([np.array([4.0], np.float32)])
    >>> w
    array([-2.4], dtype=float32)

    Zeiler, 2012.
    """

    lr: Any
    rho: float
    eps: float
    weight_decay: float
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 1.0,
        rho: float = 0.9,
        eps: float = 1e-06,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class Adagrad(Optimizer):
    r"""Gradients divided by the root of the sum of all their squares.

    .. math::
        S = S + g^2, \quad
        p = p - \frac{lr}{1 + (t-1) \, lr\_decay} \cdot \frac{g}{\sqrt{S} + \epsilon}

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        lr_decay: decay of lr with the step count t, at least 0.
        weight_decay: L2 penalty; at least 0.
        initial_accumulator_value: initial value of S, at least 0.
        eps: added to the denominator, at least 0.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.zeros(1, np.float32)
    >>> opt = Adagrad([w], lr=0.5, eps=0.0)
    >>> opt.step([np.array([8.0], np.float32)])
    >>> w
    array([-0.5], dtype=float32)

    Duchi, Hazan and Singer, 2011.
    """

    lr: Any
    lr_decay: float
    weight_decay: float
    initial_accumulator_value: float
    eps: float
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.01,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class Adam(Optimizer):
    r"""Momentum divided by RMSProp's denominator, both with bias correction.

    .. math::
        m = \beta_1 m + (1-\beta_1) g, \quad v = \beta_2 v + (1-\beta_2) g^2, \quad
        p = p - lr \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + \epsilon}

    ``amsgrad``: uses the largest v so far in place of v.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        betas: decay rates of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: L2 penalty; at least 0.
        amsgrad: divide by the largest v so far, which never shrinks.
        maximize: ascend instead of descending.
        decoupled_weight_decay: shrink p by lr*weight_decay instead of adding the decay to the
            gradient.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.zeros(2, np.float32)
    >>> opt = Adam([w], lr=0.5, eps=0.0)
    >>> opt.step([np.array([4.0, -0.25], np.float32)])
    >>> w
    array([-0.5,  0.5], dtype=float32)

    Kingma and Ba, 2015; amsgrad: Reddi, Kale and Kumar, 2018.
    """

    lr: Any
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    amsgrad: bool
    maximize: bool
    decoupled_weight_decay: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class AdamW(Optimizer):
    r"""Adam with weight decay decoupled from the gradient.

    .. math::
        p = (1 - lr \cdot weight\_decay) \, p, \quad \text{then as Adam}

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        betas: decay rates of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: decoupled decay: p shrinks by lr*weight_decay; at least 0.
        amsgrad: divide by the largest v so far, which never shrinks.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.ones(1, np.float32)
    >>> opt = AdamW([w], lr=0.5, weight_decay=0.5)
    >>> opt.step([np.zeros(1, np.float32)])
    >>> w
    array([0.75], dtype=float32)

    Loshchilov and Hutter, 2019.
    """

    lr: Any
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    amsgrad: bool
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class Adamax(Optimizer):
    r"""Adam with the infinity norm in place of the 2-norm.

    .. math::
        m = \beta_1 m + (1-\beta_1) g, \quad u = \max(\beta_2 u, |g| + \epsilon), \quad
        p = p - \frac{lr}{1-\beta_1^t} \cdot \frac{m}{u}

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        betas: decay rates of the average and of the infinity norm, each in [0, 1).
        eps: added to the absolute gradient, at least 0.
        weight_decay: L2 penalty; at least 0.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.zeros(1, np.float32)
    >>> opt = Adamax([w], lr=0.5, eps=0.0)
    >>> opt.step([np.array([4.0], np.float32)])
    >>> w
    array([-0.5], dtype=float32)

    Kingma and Ba, 2015, section 7.1.
    """

    lr: Any
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.002,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class Adan(Optimizer):
    r"""Nesterov momentum from the difference of two gradients, divided as in Adam.

    .. math::
        m = \beta_1 m + (1-\beta_1) g, \quad d = \beta_2 d + (1-\beta_2) (g - g'), \quad
        n = \beta_3 n + (1-\beta_3) (g + \beta_2 (g - g'))^2, \quad
        p = \frac{1}{1 + lr \lambda} \left( p - lr \frac{m / (1-\beta_1^t) +
        \beta_2 d / (1-\beta_2^t)}{\sqrt{n / (1-\beta_3^t)} + \epsilon} \right)

    :math:`g'` is the gradient of the last step, kept negated as ``neg_pre_grad``; in the first step
    the difference is 0. ``no_prox``: :math:`(1 - lr \lambda) p` before the step in place of the
    division. Each tensor counts its own steps, while the authors' class counts those of the group.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        betas: decay rates of the averages of the gradient, of its difference, and of the square,
            each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: decoupled decay: p shrinks by lr*weight_decay; at least 0.
        no_prox: shrink p by lr*weight_decay before the step instead.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.zeros(1, np.float32)
    >>> opt = Adan([w], lr=0.5, eps=0.0)
    >>> opt.step([np.array([4.0], np.float32)])
    >>> w
    array([-0.5], dtype=float32)

    Xie et al., "Adan: Adaptive Nesterov Momentum Algorithm", 2022.
    """

    lr: Any
    betas: tuple[float, float, float]
    eps: float
    weight_decay: float
    no_prox: bool
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.001,
        betas: tuple[float, float, float] = (0.98, 0.92, 0.99),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        no_prox: bool = False,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class AdEMAMix(Optimizer):
    r"""AdamW with a second, much slower average of the gradient in its step.

    .. math::
        m_1 = \beta_1 m_1 + (1-\beta_1) g, \quad m_2 = \beta_3 m_2 + (1-\beta_3) g, \quad
        v = \beta_2 v + (1-\beta_2) g^2, \quad
        p = (1 - lr \lambda) p - lr \frac{m_1 / (1-\beta_1^t) + \alpha m_2}
        {\sqrt{v / (1-\beta_2^t)} + \epsilon}

    With ``alpha_warmup``, :math:`\alpha` grows linearly from 0; with ``beta3_warmup``, the half-
    life of :math:`m_2` grows linearly from that of :math:`m_1`. In the paper both last for the
    whole training. Names and defaults are those of the authors' class for PyTorch; alpha is 5 in
    their optax version.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        betas: decay rates of the fast average, of that of the square, and of the slow one, each in
            [0, 1).
        alpha: weight of the slow average, at least 0.
        beta3_warmup: steps over which beta3 grows to its value from beta1; 0 for no warm-up.
        alpha_warmup: steps over which alpha grows to its value from 0; 0 for no warm-up.
        eps: added to the denominator, at least 0.
        weight_decay: decoupled decay: p shrinks by lr*weight_decay; at least 0.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.zeros(1, np.float32)
    >>> opt = AdEMAMix([w], lr=0.5, alpha=0.0, eps=0.0)
    >>> opt.step([np.array([4.0], np.float32)])
    >>> w
    array([-0.5], dtype=float32)

    Pagliardini, Ablin and Grangier, "The AdEMAMix Optimizer", 2024.
    """

    lr: Any
    betas: tuple[float, float, float]
    alpha: float
    beta3_warmup: float
    alpha_warmup: float
    eps: float
    weight_decay: float
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.001,
        betas: tuple[float, float, float] = (0.9, 0.999, 0.9999),
        alpha: float = 2.0,
        beta3_warmup: float = 0.0,
        alpha_warmup: float = 0.0,
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class ADOPT(Optimizer):
    r"""Momentum of gradients divided by the last step's sqrt(v): works with any beta2.

    .. math::
        x = \min(\max(\frac{g}{\max(\sqrt{v}, \epsilon)}, -c_t), c_t), \quad
        m = \beta_1 m + (1-\beta_1) x, \quad p = p - lr \cdot m, \quad v = \beta_2 v + (1-\beta_2) g^2

    :math:`c_t = (t-1)^{1/4}`. The first step sets :math:`v = g^2` and does not change p, whatever
    the decay. This follows the authors' code since their update of November 2024; packages that
    clip to :math:`t^{1/4}`, or decay in the first step, differ from it.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        betas: decay rates of the averages of the gradient and of its square, each in [0, 1).
        eps: least denominator, at least 0.
        weight_decay: L2 penalty; at least 0.
        decouple: shrink p by lr*weight_decay instead of adding the decay to the gradient.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w, g = np.zeros(1, np.float32), np.array([4.0], np.float32)
    >>> opt = ADOPT([w], lr=0.5, betas=(0.0, 0.5))
    >>> for _ in range(2):
    ...     opt.step([g])
    >>> w
    array([-0.5], dtype=float32)

    Taniguchi et al., "ADOPT: Modified Adam Can Converge with Any Beta2", 2024.
    """

    lr: Any
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    decouple: bool
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.001,
        betas: tuple[float, float] = (0.9, 0.9999),
        eps: float = 1e-06,
        weight_decay: float = 0.0,
        decouple: bool = False,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class ASGD(Optimizer):
    r"""Gradient descent whose parameters are averaged in the state ``ax``.

    .. math::
        p = (1 - \lambda \eta) p - \eta g, \quad ax = ax + \mu (p - ax), \quad
        \eta = \frac{lr}{(1 + \lambda \, lr \, t)^\alpha}, \quad \mu = \frac{1}{\max(1, t - t_0)}

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        lambd: decay of the step size; any number.
        alpha: power of the decay; any number.
        t0: the step at which ``ax`` starts to average; any number.
        weight_decay: L2 penalty; at least 0.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.zeros(1, np.float32)
    >>> opt = ASGD([w], lr=0.5)
    >>> opt.step([np.array([4.0], np.float32)])
    >>> w
    array([-2.], dtype=float32)

    Polyak and Juditsky, 1992.
    """

    lr: Any
    lambd: float
    alpha: float
    t0: float
    weight_decay: float
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.01,
        lambd: float = 0.0001,
        alpha: float = 0.75,
        t0: float = 1000000.0,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class CAdamW(Optimizer):
    r"""AdamW that moves a weight only where momentum and gradient agree.

    .. math::
        \phi = [m \cdot g > 0], \quad
        p = (1 - lr \lambda) p - \frac{\phi}{\max(mean(\phi), 10^{-3})} \cdot lr
        \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + \epsilon}

    m and v are Adam's at this step. The mean is over the tensor, as in timm; the authors' first
    version has numel/(sum + 1) in its place.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        betas: decay rates of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: decoupled decay: p shrinks by lr*weight_decay; at least 0.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.zeros(2, np.float32)
    >>> opt = CAdamW([w], lr=0.5, eps=0.0)
    >>> opt.step([np.array([4.0, 0.0], np.float32)])
    >>> w
    array([-1.,  0.], dtype=float32)

    Liang et al., "Cautious Optimizers: Improving Training with One Line of Code", 2024.
    """

    lr: Any
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.01,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class DAdaptAdam(Optimizer):
    r"""Adam that estimates its learning rate: d, the distance to the solution.

    .. math::
        m = \beta_1 m + (1-\beta_1) \, lr \, d \, g, \quad v = \beta_2 v + (1-\beta_2) g^2, \quad
        p = p - \frac{m}{\sqrt{v} + \epsilon}

    ``d`` grows from step to step, using sums over all arrays that the update computes in the same
    pass: N = rN + (1-r) lr d g s / (sqrt(v) + eps), d = max(d, N / ((1-r) norm(s))), with the sum s
    = rs + (1-r) lr d g before this gradient in N and after it in the 1-norm, and r the root of
    beta2. It is an attribute of the optimizer.

    Groups share ``d``, and their ``lr`` must be the same, or 0, which freezes a group. beta2 and
    ``growth_rate`` of the first group apply to d. Unlike the authors' code, this one decays weights
    even before the first gradient other than 0.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        betas: decay rates of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: weight decay, see ``decouple``; at least 0.
        decouple: shrink p by lr*d*weight_decay instead of adding an L2 penalty.
        use_bias_correction: correct the bias of both averages, as Adam does.
        d0: the first estimate d, above 0.
        growth_rate: the largest factor of d per step, at least 0.
        layer_scale: factor of a group's learning rate, above 0.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.zeros(2, np.float32)
    >>> opt = DAdaptAdam([w], d0=0.5, betas=(0.0, 0.0))
    >>> for _ in range(2):
    ...     opt.step([np.array([4.0, -0.25], np.float32)])
    >>> w, opt.d
    (array([-1.,  1.], dtype=float32), 0.5)

    Defazio and Mishchenko, "Learning-Rate-Free Learning by D-Adaptation", 2023.
    """

    lr: Any
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    decouple: bool
    use_bias_correction: bool
    d0: float
    growth_rate: float
    layer_scale: float
    maximize: bool
    @property
    def d(self) -> float: ...
    @property
    def k(self) -> float: ...
    @property
    def numerator_weighted(self) -> float: ...
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        *,
        decouple: bool = False,
        use_bias_correction: bool = False,
        d0: float = 1e-06,
        growth_rate: float = ...,
        layer_scale: float = 1.0,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class LAMB(Optimizer):
    r"""Adam with each tensor's step scaled by its norm over the update's norm.

    .. math::
        u = \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + \epsilon} + \lambda p, \quad
        p = p - lr \frac{\lVert p \rVert}{\lVert u \rVert} u

    m and v are Adam's. If a norm is 0 or infinite, the quotient is 1. The paper's algorithm does
    not clip; for apex's ``max_grad_norm=1.0``, which is its default, pass ``clip_norm=1.0``. As in
    the paper, the quotient scales tensors without decay, too, which apex does only with
    ``use_nvlamb``.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        betas: decay rates of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: decoupled decay: p shrinks by lr*weight_decay; at least 0.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.full(4, 2.0, np.float32)
    >>> opt = LAMB([w], lr=0.25, eps=0.0, weight_decay=0.0)
    >>> opt.step([np.full(4, 8.0, np.float32)])
    >>> w
    array([1.5, 1.5, 1.5, 1.5], dtype=float32)

    You et al., "Large Batch Optimization for Deep Learning", 2020.
    """

    lr: Any
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-06,
        weight_decay: float = 0.01,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class LaProp(Optimizer):
    r"""Adam that divides gradients before averaging them.

    .. math::
        v = \beta_2 v + (1-\beta_2) g^2, \quad
        m = \beta_1 m + (1-\beta_1) lr \frac{g}{\sqrt{v / (1-\beta_2^t)} + \epsilon}, \quad
        \eta = \beta_1 \eta + (1-\beta_1) lr, \quad p = (1 - lr \lambda) p - \frac{lr}{\eta} m

    :math:`\eta`, which each tensor carries in float64 as ``exp_avg_lr``, is :math:`lr
    (1-\beta_1^t)` as long as lr is constant. The authors' two files differ in the decay:
    ``laprop.py`` shrinks p by weight_decay after the step, so a schedule has to scale both;
    ``transformer/laprop.py`` by lr*weight_decay before it, like all optimizers here.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        betas: decay rates of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: decoupled decay: p shrinks by lr*weight_decay; at least 0.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.zeros(1, np.float32)
    >>> opt = LaProp([w], lr=0.5, eps=0.0)
    >>> opt.step([np.array([4.0], np.float32)])
    >>> w
    array([-0.5], dtype=float32)

    Ziyin, Wang and Ueda, "LaProp: Separating Momentum and Adaptivity in Adam", 2020.
    """

    lr: Any
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.0004,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-15,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class LARS(Optimizer):
    r"""Momentum with each tensor's step scaled by its norm over the gradient's norm.

    .. math::
        r = \eta \frac{\lVert p \rVert}{\lVert g \rVert + \lambda \lVert p \rVert}, \quad
        v = \mu v + r (g + \lambda p), \quad p = p - lr \cdot v

    One-dimensional tensors have r = 1 and no decay. If a norm is 0, r = 1.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        momentum: decay rate of the velocity, at least 0.
        dampening: the gradient is multiplied by 1 - dampening, at least 0.
        trust_coefficient: factor of the ratio of norms.
        weight_decay: L2 penalty; at least 0.
        nesterov: Nesterov's look-ahead step.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.ones((2, 2), np.float32)
    >>> opt = LARS([w], lr=1.0, trust_coefficient=0.5)
    >>> opt.step([np.full((2, 2), 8.0, np.float32)])
    >>> w
    array([[0.5, 0.5],
           [0.5, 0.5]], dtype=float32)

    You, Gitman and Ginsburg, "Large Batch Training of Convolutional Networks", 2017.
    """

    lr: Any
    momentum: float
    dampening: float
    trust_coefficient: float
    weight_decay: float
    nesterov: bool
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.001,
        momentum: float = 0.9,
        dampening: float = 0.0,
        trust_coefficient: float = 0.001,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class Lion(Optimizer):
    r"""The sign of an interpolated momentum, with decoupled decay.

    .. math::
        p = (1 - lr \lambda) p - lr \cdot sign(\beta_1 m + (1-\beta_1) g), \quad
        m = \beta_2 m + (1-\beta_2) g

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        betas: weights of m in the update, and in its own average, each in [0, 1).
        weight_decay: decoupled decay: p shrinks by lr*weight_decay; at least 0.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.zeros(2, np.float32)
    >>> opt = Lion([w], lr=0.5)
    >>> opt.step([np.array([4.0, -0.25], np.float32)])
    >>> w
    array([-0.5,  0.5], dtype=float32)

    Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023.
    """

    lr: Any
    betas: tuple[float, float]
    weight_decay: float
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.0001,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class MARS(Optimizer):
    r"""AdamW with gradients corrected by their change since the last step.

    .. math::
        c = g + \gamma \frac{\beta_1}{1-\beta_1} (g - g_{t-1}), \quad
        c = \frac{c}{\max(1, \lVert c \rVert)}, \quad \text{then as AdamW, with c in place of g}

    Tensors that are not matrices get plain AdamW with their own options, unless ``optimize_1d``.
    ``lr_1d_factor`` is the reference's lr_1d / lr. As in the authors' code, a matrix has two
    dimensions, and eps is added after the bias correction; in pytorch_optimizer tensors of more
    dimensions are matrices, too, and eps is added before.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        betas: decay rates of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: decoupled decay: p shrinks by lr*weight_decay; at least 0.
        gamma: weight of the gradient's change, at least 0.
        optimize_1d: correct the gradients of tensors that are not matrices, too.
        lr_1d_factor: factor of the learning rate for other tensors, at least 0.
        betas_1d: decay rates for other tensors, each in [0, 1).
        weight_decay_1d: decoupled decay for other tensors, at least 0.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.zeros((1, 2), np.float32)
    >>> opt = MARS([w], lr=0.5, eps=0.0)
    >>> opt.step([np.array([[4.0, -0.25]], np.float32)])
    >>> w
    array([[-0.5,  0.5]], dtype=float32)

    Yuan et al., "MARS: Unleashing the Power of Variance Reduction for Training Large Models", 2024.
    """

    lr: Any
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    gamma: float
    optimize_1d: bool
    lr_1d_factor: float
    betas_1d: tuple[float, float]
    weight_decay_1d: float
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.003,
        betas: tuple[float, float] = (0.95, 0.99),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        gamma: float = 0.025,
        optimize_1d: bool = False,
        lr_1d_factor: float = 1.0,
        betas_1d: tuple[float, float] = (0.9, 0.95),
        weight_decay_1d: float = 0.1,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class Momentum(Optimizer):
    r"""Momentum with the learning rate inside the velocity.

    .. math::
        v = \beta v + lr \cdot g, \quad p = p - v

    With ``nesterov``: :math:`p = p - (\beta v + lr \cdot g)`.

    `SGD` keeps lr outside (``v = momentum*v + g ; p = p - lr*v``). Both give the same parameters
    while lr is constant. After a change of lr, this velocity still contains old gradients times the
    old lr, while `SGD` applies the new one to the whole velocity.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        beta: decay rate of the velocity, in [0, 1).
        weight_decay: L2 penalty; at least 0.
        nesterov: Nesterov's look-ahead step.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w, g = np.zeros(1, np.float32), np.ones(1, np.float32)
    >>> opt = Momentum({"w": w}, lr=0.5, beta=0.5)
    >>> for _ in range(2):
    ...     opt.step({"w": g})
    >>> w, opt.state["w"]["momentum_buffer"]
    (array([-1.25], dtype=float32), array([0.75], dtype=float32))

    Polyak, 1964; Nesterov, 1983; Sutskever et al., 2013.
    """

    lr: Any
    beta: float
    weight_decay: float
    nesterov: bool
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.01,
        beta: float = 0.9,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class NAdam(Optimizer):
    r"""Adam with Nesterov's momentum.

    .. math::
        m = \beta_1 m + (1-\beta_1) g, \quad v = \beta_2 v + (1-\beta_2) g^2, \quad
        \mu_t = \beta_1 (1 - 0.5 \cdot 0.96^{t \psi}), \quad
        p = p - lr \frac{(1-\mu_t) g / (1-\prod_{i \le t} \mu_i) +
        \mu_{t+1} m / (1-\prod_{i \le t+1} \mu_i)}{\sqrt{v / (1-\beta_2^t)} + \epsilon}

    :math:`\psi` is ``momentum_decay``. Each tensor carries the product of its :math:`\mu` in
    float64, as ``mu_product`` in its state.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        betas: decay rates of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: L2 penalty; at least 0.
        momentum_decay: rate at which the momentum approaches beta1, at least 0.
        decoupled_weight_decay: shrink p by lr*weight_decay instead of adding the decay to the
            gradient.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.zeros(1, np.float32)
    >>> opt = NAdam([w], lr=0.5, betas=(0.0, 0.0), eps=0.0)
    >>> opt.step([np.array([4.0], np.float32)])
    >>> w
    array([-0.5], dtype=float32)

    Dozat, 2016.
    """

    lr: Any
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    momentum_decay: float
    decoupled_weight_decay: bool
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.002,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        momentum_decay: float = 0.004,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class Prodigy(Optimizer):
    r"""Adam that estimates its learning rate: d, the distance to the solution.

    .. math::
        m = \beta_1 m + (1-\beta_1) d g, \quad v = \beta_2 v + (1-\beta_2) d^2 g^2, \quad
        p = p - lr \frac{d \, m}{\sqrt{v} + d \epsilon}

    ``d`` grows from step to step, using sums over all arrays: N = beta3 N + d/d0 lr d g (p0 - p), s
    = beta3 s + d/d0 lr d g, d = max(d, d_coef N / norm(s)), with the parameter p0 at its first step
    and the 1-norm. It is an attribute of the optimizer.

    eps is multiplied by this step's d, so the sums come first: p, g, s and p0 are read twice. With
    ``one_pass`` it is multiplied by the last step's d, which needs no extra pass; this only makes a
    difference where v is as small as eps^2.

    Groups share ``d``, and their ``lr`` must be the same, or 0, which freezes a group. The first
    group's beta2, beta3, ``d0``, ``d_coef`` and ``growth_rate`` apply to d. The reference's
    ``slice_p`` is not supported.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        betas: decay rates of the averages of the gradient and of its square, each in [0, 1).
        beta3: decay rate of the sums for estimating d, in [0, 1); None: the root of beta2.
        eps: added to the denominator, at least 0.
        weight_decay: weight decay, see ``decouple``; at least 0.
        decouple: shrink p by lr*d*weight_decay instead of adding an L2 penalty.
        use_bias_correction: correct the bias of both averages, as Adam does.
        safeguard_warmup: leave lr out of the denominator of d while lr warms up.
        d0: the first estimate d, above 0.
        d_coef: factor of d's estimates, above 0.
        growth_rate: the largest factor of d per step, at least 0.
        one_pass: read everything once: eps is multiplied by the last step's d, not by this one's.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.ones(2, np.float32)
    >>> opt = Prodigy([w], d0=0.5, betas=(0.0, 0.0), eps=0.0)
    >>> for _ in range(3):
    ...     opt.step([np.array([4.0, 0.25], np.float32)])
    >>> w, opt.d
    (array([-1., -1.], dtype=float32), 1.0)

    Mishchenko and Defazio, "Prodigy: An Expeditiously Adaptive Parameter-Free Learner", 2023.
    """

    lr: Any
    betas: tuple[float, float]
    beta3: float | None
    eps: float
    weight_decay: float
    decouple: bool
    use_bias_correction: bool
    safeguard_warmup: bool
    d0: float
    d_coef: float
    growth_rate: float
    one_pass: bool
    maximize: bool
    @property
    def d(self) -> float: ...
    @property
    def d_max(self) -> float: ...
    @property
    def d_numerator(self) -> float: ...
    @property
    def k(self) -> float: ...
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        beta3: float | None = None,
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        decouple: bool = True,
        use_bias_correction: bool = False,
        safeguard_warmup: bool = False,
        d0: float = 1e-06,
        d_coef: float = 1.0,
        growth_rate: float = ...,
        *,
        one_pass: bool = False,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class RAdam(Optimizer):
    r"""Adam that divides by sqrt(v) only once enough steps make v reliable.

    .. math::
        m = \beta_1 m + (1-\beta_1) g, \quad v = \beta_2 v + (1-\beta_2) g^2, \quad
        p = p - lr \cdot r_t \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + \epsilon}

    While the rectification r is not defined (the first 5 steps at the default betas), :math:`p = p
    - lr \cdot m / (1-\beta_1^t)`.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        betas: decay rates of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: L2 penalty; at least 0.
        decoupled_weight_decay: shrink p by lr*weight_decay instead of adding the decay to the
            gradient.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.zeros(1, np.float32)
    >>> opt = RAdam([w], lr=0.5)
    >>> opt.step([np.array([4.0], np.float32)])
    >>> w
    array([-2.], dtype=float32)

    Liu et al., 2020.
    """

    lr: Any
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    decoupled_weight_decay: bool
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class RMSProp(Optimizer):
    r"""Gradients divided by the root of their running mean square.

    .. math::
        s = \beta s + (1-\beta) g^2, \quad p = p - lr \cdot g / (\sqrt{s} + \epsilon)

    ``centered``: divided by the standard deviation :math:`\sqrt{s - a^2}` instead, where a is the
    running mean of g; a variance that rounding makes negative counts as zero. ``momentum``:
    :math:`b = momentum \cdot b + g / (...)`, :math:`p = p - lr \cdot b`.

    `RMSprop` is the same with torch.optim's names and defaults.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        beta: decay rate of the running means, in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: L2 penalty; at least 0.
        momentum: decay rate of the momentum buffer, in [0, 1).
        centered: divide by the standard deviation.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.zeros(1, np.float32)
    >>> opt = RMSProp([w], lr=1.0, beta=0.75, eps=0.0)
    >>> opt.step([np.array([3.0], np.float32)])
    >>> w
    array([-2.], dtype=float32)

    Tieleman and Hinton, 2012; centered: Graves, 2013.
    """

    lr: Any
    beta: float
    eps: float
    weight_decay: float
    momentum: float
    centered: bool
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.01,
        beta: float = 0.9,
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class RMSprop(Optimizer):
    r"""Gradients divided by the root of their running mean square, as torch.optim has it.

    .. math::
        s = \alpha s + (1-\alpha) g^2, \quad p = p - lr \cdot g / (\sqrt{s} + \epsilon)

    ``centered``: divided by the standard deviation :math:`\sqrt{s - a^2}` instead, where a is the
    running mean of g; a variance that rounding makes negative counts as zero. ``momentum``:
    :math:`b = momentum \cdot b + g / (...)`, :math:`p = p - lr \cdot b`.

    `RMSProp` is the same with beta for alpha, by default 0.9.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        alpha: decay rate of the running means, in [0, 1].
        eps: added to the denominator, at least 0.
        weight_decay: L2 penalty; at least 0.
        momentum: decay rate of the momentum buffer, at least 0.
        centered: divide by the standard deviation.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.zeros(1, np.float32)
    >>> opt = RMSprop([w], lr=1.0, alpha=0.75, eps=0.0)
    >>> opt.step([np.array([3.0], np.float32)])
    >>> w
    array([-2.], dtype=float32)

    Tieleman and Hinton, 2012; centered: Graves, 2013.
    """

    lr: Any
    alpha: float
    eps: float
    weight_decay: float
    momentum: float
    centered: bool
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class Rprop(Optimizer):
    r"""Steps by the sign of the gradient; each element has its own step size.

    .. math::
        s = \min(\max(s \cdot \eta, s_{min}), s_{max}), \quad p = p - s \cdot sign(g), \quad
        \eta = \eta_+ \text{ where g keeps its sign, } \eta_- \text{ where it turns}

    Where the sign changes, p does not move.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: first step size of each element, at least 0.
        etas: factors of a step size if the gradient's sign changes, in (0, 1), and if not, above 1.
        step_sizes: the smallest and the largest step size.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.zeros(1, np.float32)
    >>> opt = Rprop([w], lr=0.5)
    >>> opt.step([np.array([4.0], np.float32)])
    >>> w
    array([-0.5], dtype=float32)

    Riedmiller and Braun, 1993.
    """

    lr: Any
    etas: tuple[float, float]
    step_sizes: tuple[float, float]
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.01,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-06, 50.0),
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class SGDScheduleFree(Modes, Optimizer):
    r"""SGD that averages its iterates instead of scheduling the learning rate.

    .. math::
        y = y + c_t (z - y) + lr_t (\mu (1-c_t) - 1) g, \quad z = z - lr_t g, \quad
        x = y + (1 - 1/\mu) (z - y)

    The parameters are y, where gradients are evaluated, or the average x after ``eval()``;
    ``train()`` changes them back to y. As in the authors' package, ``train()`` must be called
    before the first step, and a step after ``eval()`` raises an error. Before the first step, and
    as long as a parameter has had no gradient, x and y are equal. Parameters are saved in their
    current mode, which state dicts store as ``train_mode``; call ``eval()`` before saving a model.

    :math:`c_t = w_t / \sum_i w_i`, :math:`w_t = t^r \max_i(lr_i)^{weight\_lr\_power}`. Each tensor
    counts its own steps, and carries the sum and the largest learning rate in float64.

    :math:`\mu` is ``momentum``.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        momentum: where y is between z (at 0) and x (at 1).
        weight_decay: L2 penalty; at least 0.
        warmup_steps: steps in which lr rises linearly, at least 0.
        r: power of the step in its weight in the average, at least 0.
        weight_lr_power: power of the largest lr so far in that weight, at least 0.
        maximize: ascend instead of descending.
        train_mode: whether the parameters are in the mode of train(), which steps need, or of
            eval().
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.ones(1, np.float32)
    >>> opt = SGDScheduleFree([w], lr=0.5, momentum=0.5)
    >>> opt.train()
    >>> for _ in range(2):
    ...     opt.step([np.ones(1, np.float32)])
    >>> w
    array([0.125], dtype=float32)
    >>> opt.eval()
    >>> w
    array([0.25], dtype=float32)

    Defazio et al., "The Road Less Scheduled", 2024.
    """

    lr: Any
    momentum: float
    weight_decay: float
    warmup_steps: float
    r: float
    weight_lr_power: float
    maximize: bool
    train_mode: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        warmup_steps: float = 0.0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        *,
        maximize: bool = False,
        train_mode: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class AdamWScheduleFree(Modes, Optimizer):
    r"""AdamW that averages its iterates instead of scheduling the learning rate.

    .. math::
        v = \beta_2 v + (1-\beta_2) g^2, \quad u = \frac{g}{\sqrt{v / (1-\beta_2^t)} + \epsilon} + \lambda y, \quad
        y = y + c_t (z - y) + lr_t (\beta_1 (1-c_t) - 1) u, \quad z = z - lr_t u, \quad
        x = y + (1 - 1/\beta_1) (z - y)

    The parameters are y, where gradients are evaluated, or the average x after ``eval()``;
    ``train()`` changes them back to y. As in the authors' package, ``train()`` must be called
    before the first step, and a step after ``eval()`` raises an error. Before the first step, and
    as long as a parameter has had no gradient, x and y are equal. Parameters are saved in their
    current mode, which state dicts store as ``train_mode``; call ``eval()`` before saving a model.

    :math:`c_t = w_t / \sum_i w_i`, :math:`w_t = t^r \max_i(lr_i)^{weight\_lr\_power}`. Each tensor
    counts its own steps, and carries the sum and the largest learning rate in float64.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        betas: where y is between z (at 0) and x (at 1), and the decay rate of v, in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: times y, is added to the normalized gradient; at least 0.
        warmup_steps: steps in which lr rises linearly, at least 0.
        r: power of the step in its weight in the average, at least 0.
        weight_lr_power: power of the largest lr so far in that weight, at least 0.
        maximize: ascend instead of descending.
        train_mode: whether the parameters are in the mode of train(), which steps need, or of
            eval().
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.ones(1, np.float32)
    >>> opt = AdamWScheduleFree([w], lr=0.5, eps=0.0)
    >>> opt.train()
    >>> opt.step([np.array([4.0], np.float32)])
    >>> w
    array([0.5], dtype=float32)

    Defazio et al., "The Road Less Scheduled", 2024.
    """

    lr: Any
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    warmup_steps: float
    r: float
    weight_lr_power: float
    maximize: bool
    train_mode: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.0025,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        warmup_steps: float = 0.0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        *,
        maximize: bool = False,
        train_mode: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class RAdamScheduleFree(Modes, Optimizer):
    r"""AdamWScheduleFree with RAdam's rectification as its warm-up.

    .. math::
        v = \beta_2 v + (1-\beta_2) g^2, \quad u = \frac{g}{\sqrt{v / (1-\beta_2^t)} + \epsilon} + \lambda y, \quad
        y = y + c_t (z - y) + lr_t (\beta_1 (1-c_t) - 1) u, \quad z = z - lr_t u, \quad
        x = y + (1 - 1/\beta_1) (z - y)

    :math:`lr_t = lr \cdot r_t`. While the rectification :math:`r_t` is not defined (the first 4
    steps at the default betas) it is 0, or with ``silent_sgd_phase=False`` it is 1 and :math:`u = g
    + \lambda y`.

    The parameters are y, where gradients are evaluated, or the average x after ``eval()``;
    ``train()`` changes them back to y. As in the authors' package, ``train()`` must be called
    before the first step, and a step after ``eval()`` raises an error. Before the first step, and
    as long as a parameter has had no gradient, x and y are equal. Parameters are saved in their
    current mode, which state dicts store as ``train_mode``; call ``eval()`` before saving a model.

    :math:`c_t = w_t / \sum_i w_i`, :math:`w_t = t^r \max_i(lr_i)^{weight\_lr\_power}`. Each tensor
    counts its own steps, and carries the sum and the largest learning rate in float64.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        betas: where y is between z (at 0) and x (at 1), and the decay rate of v, in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: times y, is added to the normalized gradient; at least 0.
        r: power of the step in its weight in the average, at least 0.
        weight_lr_power: power of the largest lr so far in that weight, at least 0.
        silent_sgd_phase: do not change the parameters until v is reliable; otherwise SGD.
        maximize: ascend instead of descending.
        train_mode: whether the parameters are in the mode of train(), which steps need, or of
            eval().
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.ones(1, np.float32)
    >>> opt = RAdamScheduleFree([w], lr=0.5, silent_sgd_phase=False)
    >>> opt.train()
    >>> opt.step([np.ones(1, np.float32)])
    >>> w
    array([0.5], dtype=float32)

    Defazio et al., "The Road Less Scheduled", 2024.
    """

    lr: Any
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    r: float
    weight_lr_power: float
    silent_sgd_phase: bool
    maximize: bool
    train_mode: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.0025,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        *,
        silent_sgd_phase: bool = True,
        maximize: bool = False,
        train_mode: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class SGD(Optimizer):
    r"""Gradient descent with torch.optim's momentum: lr is outside the velocity.

    .. math::
        v = \mu v + (1-d) g, \quad p = p - lr \cdot v

    ``v = g`` at the first step, and where the momentum is 0. With ``nesterov`` :math:`p = p - lr (g
    + \mu v)`. `Momentum` has the learning rate inside the velocity; both give the same parameters
    until lr changes.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        momentum: decay rate of the velocity, at least 0.
        dampening: the gradient is multiplied by 1 - dampening; any number.
        weight_decay: L2 penalty; at least 0.
        nesterov: Nesterov's look-ahead step; needs momentum and no dampening.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.array([1.0, 2.0], dtype=np.float32)
    >>> opt = SGD([w], lr=0.5)
    >>> opt.step([np.array([2.0, 2.0], dtype=np.float32)])
    >>> w
    array([0., 1.], dtype=float32)

    Robbins and Monro, 1951; Sutskever et al., 2013.
    """

    lr: Any
    momentum: float
    dampening: float
    weight_decay: float
    nesterov: bool
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.001,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class SophiaG(HessianUpdates, Optimizer):
    r"""Momentum divided by an estimate of the Hessian's diagonal, then clipped.

    .. math::
        p = (1 - lr \lambda) p, \quad m = \beta_1 m + (1-\beta_1) g, \quad
        p = p - lr \cdot clip\left(\frac{m}{\rho \cdot bs \cdot h + 10^{-15}}, -1, 1\right)

    About every 10 steps, ``update_hessian`` takes the gradients :math:`\hat g` of a loss whose
    labels are sampled from the model's own predictions: :math:`h = \beta_2 h + (1-\beta_2) \hat
    g^2`. A step reads h but does not write it; h stays in float32 (float64 for float64 parameters),
    whatever ``state_dtype`` is. With ``skip_nonfinite``, gradients with an infinity or NaN do not
    change h either.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        betas: decay rates of the averages of the gradient and of the Hessian, each in [0, 1).
        rho: a larger one clips fewer elements, at least 0.
        weight_decay: decoupled decay: p shrinks by lr*weight_decay; at least 0.
        bs: samples per gradient of `update_hessian` (tokens of a language model), at least 0.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.ones(2, np.float32)
    >>> opt = SophiaG([w], lr=0.5, betas=(0.0, 0.0), rho=1.0, weight_decay=0.0, bs=1)
    >>> opt.update_hessian([np.array([2.0, 4.0], np.float32)])
    >>> opt.step([np.array([2.0, 32.0], np.float32)])
    >>> w
    array([0.75, 0.5 ], dtype=float32)

    Liu et al., "Sophia: A Scalable Stochastic Second-order Optimizer", 2023.
    """

    lr: Any
    betas: tuple[float, float]
    rho: float
    weight_decay: float
    bs: float
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.0001,
        betas: tuple[float, float] = (0.965, 0.99),
        rho: float = 0.04,
        weight_decay: float = 0.1,
        *,
        bs: float = 5120.0,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...

class StableAdamW(Optimizer):
    r"""AdamW that reduces a tensor's learning rate when its gradients grow suddenly.

    .. math::
        lr_t = \frac{lr}{\max(1, \sqrt{mean(g^2 / \max(v, \epsilon^2))})}, \quad
        p = (1 - lr_t \lambda) p - lr_t \frac{m}{\sqrt{v} + \epsilon}

    m and v are averages with the decay rates (b^t - b)/(b^t - 1), which need no bias correction.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        betas: decay rates of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: decoupled decay: p shrinks by lr*weight_decay; at least 0.
        maximize: ascend instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays). "8bit": codes of
            8 bits, and a float32 scale for each 32 of them. Rounding to "bfloat16", "float16" and
            codes is stochastic.
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It starts
            as a copy of the weights at their first step (even if that is skipped; so do masters),
            and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).

    Raises:
        TypeError, ValueError: an argument cannot be used; it is named.

    >>> import numpy as np
    >>> w = np.zeros(2, np.float32)
    >>> opt = StableAdamW([w], lr=0.5, eps=0.0, weight_decay=0.0)
    >>> opt.step([np.array([4.0, -0.25], np.float32)])
    >>> w
    array([-0.5,  0.5], dtype=float32)

    Wortsman et al., "Stable and low-precision training for large-scale vision-language models", 2023.
    """

    lr: Any
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    maximize: bool
    def __init__(
        self,
        params: Any,
        lr: SupportsFloat = 0.001,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-06,
        weight_decay: float = 0.01,
        *,
        maximize: bool = False,
        state_dtype: str | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        error_if_nonfinite: bool = False,
        skip_nonfinite: bool = False,
        ema_decay: float | None = None,
        master_weights: bool | str = False,
        stochastic_rounding: bool = False,
        kahan_sum: bool = False,
        seed: int = 0,
        min_8bit_size: int = 4096,
        stats: bool = False,
        zero_grads: bool = False,
        cautious: bool = False,
        cautious_weight_decay: bool = False,
        decouple_lr: float | None = None,
    ) -> None: ...
