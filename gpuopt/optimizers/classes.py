"""The optimizers over plain arrays: NumPy arrays, torch tensors, anything that speaks DLPack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base import Optimizer, Option

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..engine.tail import TailOptions


class SGD(Optimizer):
    r"""Gradient descent: batch, stochastic or mini-batch, by the data behind the gradient.

    .. math:: p = p - lr \cdot g

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and options of its own. float32, float64, float16 or bfloat16, of any
            shape; updated in place.
        lr: learning rate, at least 0.
        weight_decay: L2 decay; ``g + weight_decay*p`` takes the place of g.
        maximize: climb instead of descending.
        **tail: clipping, EMA, master weights and more, as `gpuopt.Tail` says.

    Raises:
        TypeError, ValueError: an array or an option that cannot be used, by name.

    >>> import numpy as np
    >>> w = np.array([1.0, 2.0], dtype=np.float32)
    >>> opt = SGD([w], lr=0.5)
    >>> opt.step([np.array([2.0, 2.0], dtype=np.float32)])
    >>> w
    array([0., 1.], dtype=float32)

    Robbins and Monro, "A Stochastic Approximation Method", 1951.
    """

    __slots__ = ()
    variants = {(): "gradient_descent"}  # noqa: RUF012 - declared as a ClassVar by the base

    def __init__(
        self,
        params: Any,
        lr: float,
        *,
        weight_decay: float = 0.0,
        maximize: bool = False,
        **tail: Unpack[TailOptions],
    ) -> None:
        """Take the arrays to update."""
        options = {"lr": lr, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, options, None, tail)


class Momentum(Optimizer):
    r"""Momentum with the learning rate inside the velocity.

    .. math:: v = \beta v + lr \cdot g, \quad p = p - v

    With ``nesterov``: :math:`p = p - (\beta v + lr \cdot g)`.

    torch.optim.SGD keeps lr outside (``v = beta*v + g ; p = p - lr*v``). Both give the same
    parameters while lr stays the same; after a change of lr, here the velocity keeps the
    steps it was built from, there the whole velocity is rescaled at once.

    Args:
        params: as for `SGD`.
        lr: learning rate, at least 0.
        beta: how much of the velocity stays, in [0, 1).
        nesterov: take the gradient step from where the velocity leads.
        weight_decay: L2 decay; ``g + weight_decay*p`` takes the place of g.
        maximize: climb instead of descending.
        state_dtype: of ``momentum_buffer``; None for float32 (float64 for float64 arrays).
            Rounding to ``"bfloat16"`` and ``"float16"`` is stochastic.
        **tail: clipping, EMA, master weights and more, as `gpuopt.Tail` says.

    >>> import numpy as np
    >>> w, g = np.zeros(1, np.float32), np.ones(1, np.float32)
    >>> opt = Momentum({"w": w}, lr=0.5, beta=0.5)
    >>> for _ in range(2):
    ...     opt.step({"w": g})
    >>> w, opt.state["w"]["momentum_buffer"]
    (array([-1.25], dtype=float32), array([0.75], dtype=float32))

    Polyak, "Some methods of speeding up the convergence of iteration methods", 1964;
    Nesterov, 1983; Sutskever et al., "On the importance of initialization and momentum", 2013.
    """

    __slots__ = ()
    flags = ("nesterov",)
    variants = {(False,): "momentum", (True,): "nesterov"}  # noqa: RUF012 - as above
    beta = Option()
    nesterov = Option()

    def __init__(
        self,
        params: Any,
        lr: float,
        beta: float = 0.9,
        nesterov: bool = False,
        *,
        weight_decay: float = 0.0,
        maximize: bool = False,
        state_dtype: str | None = None,
        **tail: Unpack[TailOptions],
    ) -> None:
        """Take the arrays to update."""
        options = {
            "lr": lr,
            "beta": beta,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, options, state_dtype, tail)


class RMSProp(Optimizer):
    r"""Gradients divided by the root of their running mean square.

    .. math:: s = \beta s + (1-\beta) g^2, \quad p = p - lr \cdot g / (\sqrt{s} + \epsilon)

    ``centered``: divided by the standard deviation :math:`\sqrt{s - a^2}`, with a the running
    mean of g. ``momentum``: :math:`b = momentum \cdot b + g / (...)`, :math:`p = p - lr \cdot b`.

    Args:
        params: as for `SGD`.
        lr: learning rate, at least 0.
        beta: how much of the running means stays, in [0, 1) (torch's alpha).
        eps: added to the root, at least 0.
        centered: subtract the mean.
        momentum: how much of the momentum buffer stays, in [0, 1).
        weight_decay: L2 decay; ``g + weight_decay*p`` takes the place of g.
        maximize: climb instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays).
            Rounding to ``"bfloat16"`` and ``"float16"`` is stochastic.
        **tail: clipping, EMA, master weights and more, as `gpuopt.Tail` says.

    >>> import numpy as np
    >>> w = np.zeros(1, np.float32)
    >>> opt = RMSProp([w], lr=1.0, beta=0.75, eps=0.0)
    >>> opt.step([np.array([3.0], np.float32)])
    >>> w
    array([-2.], dtype=float32)

    Tieleman and Hinton, "Lecture 6.5: rmsprop", 2012; centered: Graves, "Generating Sequences
    With Recurrent Neural Networks", 2013.
    """

    __slots__ = ()
    flags = ("centered", "momentum")
    variants = {  # noqa: RUF012 - as above
        (False, False): "rmsprop",
        (True, False): "rmsprop_centered",
        (False, True): "rmsprop_momentum",
        (True, True): "rmsprop_centered_momentum",
    }
    beta = Option()
    eps = Option()
    centered = Option()
    momentum = Option()

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        beta: float = 0.9,
        eps: float = 1e-8,
        centered: bool = False,
        momentum: float = 0.0,
        *,
        weight_decay: float = 0.0,
        maximize: bool = False,
        state_dtype: str | None = None,
        **tail: Unpack[TailOptions],
    ) -> None:
        """Take the arrays to update."""
        options = {
            "lr": lr,
            "beta": beta,
            "eps": eps,
            "centered": centered,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, options, state_dtype, tail)


class Adam(Optimizer):
    r"""Momentum over RMSProp, both corrected for their start at zero.

    .. math::
        m = \beta_1 m + (1-\beta_1) g, \quad v = \beta_2 v + (1-\beta_2) g^2

        p = p - lr \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + \epsilon}

    ``amsgrad``: the largest v so far in place of v.

    Args:
        params: as for `SGD`.
        lr: learning rate, at least 0.
        betas: how much of m and of v stays, each in [0, 1).
        eps: added to the root, at least 0.
        amsgrad: never let the denominator shrink.
        weight_decay: L2 decay; ``g + weight_decay*p`` takes the place of g. For decay apart
            from the gradient see `AdamW`.
        maximize: climb instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays).
            Rounding to ``"bfloat16"`` and ``"float16"`` is stochastic.
        **tail: clipping, EMA, master weights and more, as `gpuopt.Tail` says.

    >>> import numpy as np
    >>> w = np.zeros(2, np.float32)
    >>> opt = Adam([w], lr=0.5, eps=0.0)
    >>> opt.step([np.array([4.0, -0.25], np.float32)])
    >>> w
    array([-0.5,  0.5], dtype=float32)

    Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015; amsgrad: Reddi, Kale and
    Kumar, "On the Convergence of Adam and Beyond", 2018.
    """

    __slots__ = ()
    flags = ("amsgrad",)
    variants = {(False,): "adam", (True,): "amsgrad"}  # noqa: RUF012 - as above
    betas = Option()
    eps = Option()
    amsgrad = Option()

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        amsgrad: bool = False,
        *,
        weight_decay: float = 0.0,
        maximize: bool = False,
        state_dtype: str | None = None,
        **tail: Unpack[TailOptions],
    ) -> None:
        """Take the arrays to update."""
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "amsgrad": amsgrad,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, options, state_dtype, tail)


class AdamW(Adam):
    r"""Adam with weight decay apart from the gradient.

    .. math:: p = (1 - lr \cdot weight\_decay) \, p, \quad \text{then as Adam}

    Args:
        params: as for `SGD`.
        lr: learning rate, at least 0.
        betas: how much of m and of v stays, each in [0, 1).
        eps: added to the root, at least 0.
        amsgrad: never let the denominator shrink.
        weight_decay: the part of the parameter that each step takes away, per unit of lr.
        maximize: climb instead of descending.
        state_dtype: of the states; None for float32 (float64 for float64 arrays).
            Rounding to ``"bfloat16"`` and ``"float16"`` is stochastic.
        **tail: clipping, EMA, master weights and more, as `gpuopt.Tail` says.

    >>> import numpy as np
    >>> w = np.ones(1, np.float32)
    >>> opt = AdamW([w], lr=0.5, weight_decay=0.5)
    >>> opt.step([np.zeros(1, np.float32)])
    >>> w
    array([0.75], dtype=float32)

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
    """

    __slots__ = ()
    variants = {(False,): "adamw", (True,): "adamw_amsgrad"}  # noqa: RUF012 - as above

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        amsgrad: bool = False,
        *,
        weight_decay: float = 1e-2,
        maximize: bool = False,
        state_dtype: str | None = None,
        **tail: Unpack[TailOptions],
    ) -> None:
        """Take the arrays to update."""
        super().__init__(
            params,
            lr,
            betas,
            eps,
            amsgrad,
            weight_decay=weight_decay,
            maximize=maximize,
            state_dtype=state_dtype,
            **tail,
        )


class Adagrad(Optimizer):
    r"""Gradients divided by the root of the sum of all their squares.

    .. math::
        S = S + g^2, \quad
        p = p - \frac{lr}{1 + (t-1) \, lr\_decay} \cdot \frac{g}{\sqrt{S} + \epsilon}

    Args:
        params: as for `SGD`.
        lr: learning rate, at least 0.
        lr_decay: how fast lr falls with the step count t, at least 0.
        eps: added to the root, at least 0.
        initial_accumulator_value: where S starts, at least 0.
        weight_decay: L2 decay; ``g + weight_decay*p`` takes the place of g.
        maximize: climb instead of descending.
        state_dtype: of ``sum``; None for float32 (float64 for float64 arrays).
            Rounding to ``"bfloat16"`` and ``"float16"`` is stochastic.
        **tail: clipping, EMA, master weights and more, as `gpuopt.Tail` says.

    >>> import numpy as np
    >>> w = np.zeros(1, np.float32)
    >>> opt = Adagrad([w], lr=0.5, eps=0.0)
    >>> opt.step([np.array([8.0], np.float32)])
    >>> w
    array([-0.5], dtype=float32)

    Duchi, Hazan and Singer, "Adaptive Subgradient Methods", 2011.
    """

    __slots__ = ()
    variants = {(): "adagrad"}  # noqa: RUF012 - as above
    lr_decay = Option()
    eps = Option()
    initial_accumulator_value = Option()

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        eps: float = 1e-10,
        initial_accumulator_value: float = 0.0,
        *,
        weight_decay: float = 0.0,
        maximize: bool = False,
        state_dtype: str | None = None,
        **tail: Unpack[TailOptions],
    ) -> None:
        """Take the arrays to update."""
        options = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "initial_accumulator_value": initial_accumulator_value,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, options, state_dtype, tail)
