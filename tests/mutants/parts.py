"""The mutants of each part of the project."""

from tests.mutants import (
    arrays,
    benchmarks,
    cuda_c,
    demo,
    device_order,
    drop_ins,
    engine,
    holes,
    inspection,
    llvm_kernels,
    numpy_kernels,
    optimizers,
    rules,
    system,
    tracing,
    triton_kernels,
    verify,
)

PARTS = {
    "rules": rules.MUTANTS,
    "arrays": arrays.MUTANTS,
    "engine": engine.MUTANTS,
    "optimizers": optimizers.MUTANTS,
    "drop-ins": drop_ins.MUTANTS,
    "numpy": numpy_kernels.MUTANTS,
    "llvm": llvm_kernels.MUTANTS,
    "triton": triton_kernels.MUTANTS,
    "cuda": cuda_c.MUTANTS,
    "device order": device_order.MUTANTS,
    "trace": tracing.MUTANTS,
    "inspection": inspection.MUTANTS,
    "demo": demo.MUTANTS,
    "verify": verify.MUTANTS,
    "benchmarks": benchmarks.MUTANTS,
    "system": system.MUTANTS,
    "holes": holes.MUTANTS,
}
"""By the name of the part."""
