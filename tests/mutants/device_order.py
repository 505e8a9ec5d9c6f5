"""Mutants of the order in which the host asks a device for work, and of the memory of that work."""

from tests.mutants.mutant import Mutant

_STEPS = "tests/simgpu/runtime/test_steps.py"

MUTANTS = (
    Mutant(
        "a stream of CuPy is another of torch",
        "kernels/torch_memory.py",
        "        return torch.cuda.default_stream(device)\n",
        "        return torch.cuda.Stream(device)\n",
        f"{_STEPS} -k 'cupy-by-triton and new_gradients'",
    ),
    Mutant(
        "kernels of Triton are loaded on the device that happens to be current",
        "kernels/device_table.py",
        "with memory.current():  # kernels are compiled and loaded for the current device",
        "if memory is not None:",
        f"{_STEPS} -k 'two_devices and torch'",
    ),
    Mutant(
        "the allocator does not hear of a table's other streams",
        "kernels/torch_memory.py",
        "                array.record_stream(stream)\n",
        "                pass\n",
        "tests/simgpu/runtime/test_host_faults.py -k tables_are_freed",
    ),
    Mutant(
        "the allocator does not hear of the other streams of states",
        "gpuopt/engine/device_launch.py",
        "(*states, *copies)",
        "copies",
        f"{_STEPS} -k 'uses_its_states and False'",
    ),
    Mutant(
        "the allocator does not hear of the other streams of staged copies",
        "gpuopt/engine/device_launch.py",
        "(*states, *copies)",
        "states",
        f"{_STEPS} -k 'uses_its_states and True'",
    ),
    Mutant(
        "torch's pinned memory is copied from whenever the stream gets there",
        "kernels/torch_memory.py",
        "            buffer = self._new_buffer()\n",
        "            buffer = self.pool.ready[0]\n",
        f"{_STEPS} -k 'new_gradients and torch-sgd'",
    ),
    Mutant(
        "nobody knows when a pinned buffer is free",
        "kernels/cuda/cupy_memory.py",
        "            buffer.copied.record()\n",
        "            pass\n",
        f"{_STEPS} -k 'new_gradients and cupy-sgd'",
    ),
    Mutant(
        "a graph's pinned buffer is freed",
        "kernels/staging_pool.py",
        "        self.taken.append(self.ready.pop())\n        return self.taken[-1]\n",
        "        return self.ready.pop()\n",
        f"{_STEPS} -k 'replays and torch-plain'",
    ),
    Mutant(
        "a pinned buffer is allocated while a graph is captured",
        "kernels/torch_memory.py",
        "            buffer = self.pool.take()\n",
        "            buffer = self._new_buffer()\n",
        f"{_STEPS} -k 'replays and torch-plain'",
    ),
    Mutant(
        "CuPy asks for an event while a graph is captured",
        "kernels/cuda/cupy_memory.py",
        "self._pool.take() if capturing else self._free_buffer()",
        "self._free_buffer()",
        f"{_STEPS} -k 'replays and cupy-plain'",
    ),
    Mutant(
        "states on a device are copied by the host",
        "gpuopt/engine/states.py",
        'return copy_as(array, describe_state(array, "state").dtype)',
        'return describe_state(array, "state").view.copy()',
        f"{_STEPS} -k built_anew",
    ),
    Mutant(
        "no stream holds the memory of totals",
        "kernels/device_totals.py",
        "tables[0].hold_also(self._arrays)",
        "pass",
        "tests/simgpu/runtime/test_sums.py -k 'dropped and Prodigy'",
    ),
)
