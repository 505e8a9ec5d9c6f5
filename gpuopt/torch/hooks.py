"""torch's hooks and profiler range around a step, only where they are needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from itertools import chain
from typing import Any

import torch
from torch.autograd import profiler
from torch.optim import optimizer


class StepHooks(torch.optim.Optimizer):
    """Calls torch's hooks around a step only where some are registered, or a profiler runs.

    torch opens a profiler range at each step, which takes as long as everything else in a small
    step.
    """

    @staticmethod
    def profile_hook_step(func: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a class's step in its hooks; torch calls this once for each class."""
        hooked = torch._disable_dynamo(torch.optim.Optimizer.profile_hook_step(func))

        @wraps(func)
        def step(self: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
            if (
                torch.compiler.is_compiling()
                or profiler._is_profiler_enabled
                or self._optimizer_step_pre_hooks
                or optimizer._global_optimizer_pre_hooks
            ):
                return hooked(self, *args, **kwargs)
            result = func(self, *args, **kwargs)
            if self._optimizer_step_post_hooks or optimizer._global_optimizer_post_hooks:
                _call_post_hooks(self, args, kwargs)
            return result

        return step


def _call_post_hooks(
    self: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Call the hooks after a step, including any that its closure has registered."""
    registered = self._optimizer_step_post_hooks, optimizer._global_optimizer_post_hooks
    for hook in chain.from_iterable(hooks.values() for hooks in registered):
        hook(self, (self, *args), kwargs)
