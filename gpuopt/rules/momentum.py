"""Momentum, with lr inside the velocity (Polyak 1964; Nesterov 1983, Sutskever et al. 2013)."""

from __future__ import annotations

from .definitions import Definition, define, either
from .options import MAXIMIZE, Option, learning_rate, weight_decay
from .ranges import BELOW_ONE
from .registry import Rule, add_rule


def momentum(p, g, momentum_buffer, beta, lr):
    """v = beta*v + lr*g ; p = p - v."""
    momentum_buffer = beta * momentum_buffer + lr * g
    return p - momentum_buffer, momentum_buffer


def nesterov(p, g, momentum_buffer, beta, lr):
    """v = beta*v + lr*g ; p = p - (beta*v + lr*g): looks ahead along v."""
    momentum_buffer = beta * momentum_buffer + lr * g
    return p - (beta * momentum_buffer + lr * g), momentum_buffer


def momentum_coefficients(step, lr, beta):
    return beta, lr


_BETA = Option("beta", 0.9, "decay rate of the velocity, in [0, 1)", (BELOW_ONE,))
_NESTEROV = Option("nesterov", False, "Nesterov's look-ahead step")
_OPTIONS = (learning_rate(1e-2), _BETA)
_STATES = ("momentum_buffer",)

add_rule(Rule("momentum", momentum, momentum_coefficients, _STATES, _OPTIONS))
add_rule(Rule("nesterov", nesterov, momentum_coefficients, _STATES, _OPTIONS))

define(
    Definition(
        "Momentum",
        either("momentum", "nesterov"),
        (*_OPTIONS, weight_decay(), _NESTEROV, MAXIMIZE),
        choices=("nesterov",),
        summary="Momentum with the learning rate inside the velocity.",
        equation=r"v = \beta v + lr \cdot g, \quad p = p - v",
        remarks=r"""
With ``nesterov``: :math:`p = p - (\beta v + lr \cdot g)`.

`SGD` keeps lr outside (``v = momentum*v + g ; p = p - lr*v``). Both give the same parameters while
lr is constant. After a change of lr, this velocity still contains old gradients times the old lr,
while `SGD` applies the new one to the whole velocity.
""",
        source="Polyak, 1964; Nesterov, 1983; Sutskever et al., 2013",
        example="""
>>> w, g = np.zeros(1, np.float32), np.ones(1, np.float32)
>>> opt = Momentum({"w": w}, lr=0.5, beta=0.5)
>>> for _ in range(2):
...     opt.step({"w": g})
>>> w, opt.state["w"]["momentum_buffer"]
(array([-1.25], dtype=float32), array([0.75], dtype=float32))
""",
    )
)
