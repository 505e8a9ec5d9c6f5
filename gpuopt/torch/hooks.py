"""torch's hooks and profile around a step, where there are any."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch.autograd import profiler
from torch.optim import optimizer


class StepHooks(torch.optim.Optimizer):
    """Calls torch's hooks around a step only where some are registered, or a profiler runs.

    torch opens a range of the profiler at each step, which takes as long as all else in a small
    step.
    """

    @staticmethod
    def profile_hook_step(func: Callable[..., Any]) -> Callable[..., Any]:
        """Return a step with its hooks; torch calls this once for each class, with its step."""
        hooked = torch._disable_dynamo(torch.optim.Optimizer.profile_hook_step(func))

        @wraps(func)
        def step(self: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
            if (
                torch.compiler.is_compiling()
                or profiler._is_profiler_enabled
                or self._optimizer_step_pre_hooks
                or self._optimizer_step_post_hooks
                or optimizer._global_optimizer_pre_hooks
                or optimizer._global_optimizer_post_hooks
            ):
                return hooked(self, *args, **kwargs)
            return func(self, *args, **kwargs)

        return step
