"""The speed of your own rule, compared with torch.optim, NumPy, and a loop that only moves bytes.

```sh
python -m examples.benchmark_own_rule
```

Run it from the root of a checkout: `benchmarks` is not installed. Whoever does not compute what the
rule does is left out, with a note; the others take turns over the same memory.
"""

from functools import partial

import gpuopt
from benchmarks.cases import Case
from benchmarks.lines import Place
from benchmarks.measure import measure
from benchmarks.models import gpt2
from benchmarks.ours import OURS
from benchmarks.peers import PEERS
from benchmarks.report import load_average, show, show_machine
from benchmarks.timing import threads


def heavy_ball(p, g, v, beta, lr):
    v = beta * v + g
    return p - lr * v, v


rule = gpuopt.register(
    "heavy_ball",
    heavy_ball,
    lambda step, lr, beta: (beta, lr),
    states=("v",),
    hyperparameters={"lr": 1e-2, "beta": 0.9},
)


def textbook(p, g, states, step, lr, beta):
    states[0] = beta * states[0] + g
    p -= lr * states[0]


case = Case(
    name="heavy_ball",
    rule=rule,
    optimizer=partial(gpuopt.Optimizer, rule="heavy_ball"),
    options={"lr": 1e-2, "beta": 0.9},
    torch="SGD",
    torch_options={"lr": 1e-2, "momentum": 0.9},
    textbook=textbook,
)
ours = {name: OURS["cpu"][name] for name in ("llvm", "numpy")}
peers = {name: PEERS["cpu"][name] for name in ("torch fused", "torch foreach", "textbook NumPy")}

place = Place("update", "heavy_ball", "float32", "a small GPT-2", "cpu")
shapes = gpt2(layers=2, width=512, words=8000)

show_machine(load_average(), threads=1)
with threads(1):
    group = measure(place, case, shapes, {**ours, **peers}, rounds=5)
show(group)
