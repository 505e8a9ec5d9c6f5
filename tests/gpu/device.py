"""The CUDA device of this machine, as torch or CuPy finds it."""

import json
from importlib import import_module


def missing():
    """Return why there is no CUDA device, or None."""
    for name in ("torch", "cupy"):
        try:
            if import_module(name).cuda.is_available():
                return None
        except Exception:  # what is broken is as good as missing
            continue
    return "neither torch nor CuPy finds a CUDA device"


def facts():
    """Return what the results of a run depend on; empty without a device that torch finds."""
    try:
        torch = import_module("torch")
    except Exception:
        return {}
    if not torch.cuda.is_available():
        return {}
    found = torch.cuda.get_device_properties(0)
    return {
        "name": found.name,
        "devices": torch.cuda.device_count(),
        "compute_capability": f"{found.major}.{found.minor}",
        "multiprocessors": found.multi_processor_count,
        "memory_mib": found.total_memory >> 20,
        "l2_mib": found.L2_cache_size >> 20,
        "cuda": torch.version.cuda,
    }


if __name__ == "__main__":
    print(json.dumps({"missing": missing(), "device": facts()}))
