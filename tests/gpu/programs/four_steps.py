"""Four steps of Adam over one large tensor, for a profiler that counts in each kernel."""

import torch

from tests.gpu.programs.common import adam, parameters, parser, wait

ELEMENTS = {"cuda": 1 << 27, "cpu": 1 << 14}


def main():
    asked = parser(__doc__)
    asked.add_argument("--backend", required=True, help="or torch")
    asked.add_argument("--dtype", default="float32")
    asked.add_argument("--clip", action="store_true", help="the norm of the gradients")
    given = asked.parse_args()
    shapes = ((ELEMENTS[given.device],),)
    params = parameters(shapes, getattr(torch, given.dtype), given.device)
    step = adam(given.backend, params, **({"clip_norm": 1.0} if given.clip else {}))
    for _ in range(4):
        step()
    wait(given.device)
    print("done")


if __name__ == "__main__":
    main()
