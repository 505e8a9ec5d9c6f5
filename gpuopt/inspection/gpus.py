"""Published figures of GPUs.

Clocks are boost clocks; at its power limit a GPU runs slower. The prediction uses the throughput
of the architecture, and the multiprocessors, clock and memory bandwidth of the GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

REGISTERS = 65_536
"""32-bit registers per multiprocessor, on all architectures here."""

WARP = 32
SCHEDULERS = 4
"""Warp schedulers per multiprocessor; each issues one instruction per cycle."""

_REGISTER_UNIT = 256
"""The granularity of a warp's register allocation."""


@dataclass(frozen=True)
class Arch:
    """One architecture: the CUDA C++ Programming Guide, NVIDIA 2025.

    Attributes:
        warps: maximum resident warps per multiprocessor ("Technical Specifications per Compute
            Capability").
        lanes: operations per cycle and multiprocessor ("Throughput of Native Arithmetic
            Instructions"); ``issue`` is the throughput of its schedulers.
    """

    warps: int
    lanes: dict[str, int]


def _arch(warps: int, fp32: int, fp64: int) -> Arch:
    issue = SCHEDULERS * WARP
    return Arch(warps, {"issue": issue, "fp32": fp32, "fp64": fp64, "special": 16})


ARCH = {
    75: _arch(32, 64, 2),
    80: _arch(64, 64, 32),
    86: _arch(48, 128, 2),
    89: _arch(48, 128, 2),
    90: _arch(64, 128, 64),
    100: _arch(64, 128, 64),
    120: _arch(48, 128, 2),
}


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        name: its product name.
        arch: its architecture.
        multiprocessors: their number.
        clock: boost clock in GHz.
        bandwidth: peak memory bandwidth in GB/s.
        source: where these figures are published.
        derived: figures that are not, and how they were derived.
    """

    name: str
    arch: int
    multiprocessors: int
    clock: float
    bandwidth: float
    source: str
    derived: str = ""


_FROM_RATE = "clock: the published float32 rate / (multiprocessors * 128 lanes * 2)"

GPUS = (
    Gpu("T4", 75, 40, 1.59, 320, "NVIDIA T4 product brief, 2019", "multiprocessors: cores / 64"),
    Gpu(
        "A10", 86, 72, 1.695, 600, "NVIDIA A10 product brief, 2021", "multiprocessors: cores / 128"
    ),
    Gpu("L4", 89, 58, 2.04, 300, "NVIDIA L4 product brief, 2023", "multiprocessors: cores / 128"),
    Gpu(
        "A100",
        80,
        108,
        1.41,
        2039,
        "NVIDIA A100 Tensor Core GPU architecture whitepaper, 2020; A100 80GB SXM datasheet, 2021",
    ),
    Gpu(
        "L40S",
        89,
        142,
        2.52,
        864,
        "NVIDIA L40S product brief, 2023",
        "multiprocessors: cores / 128",
    ),
    Gpu(
        "H100",
        90,
        132,
        1.98,
        3350,
        "NVIDIA H100 Tensor Core GPU architecture whitepaper, 2022; H100 SXM datasheet, 2023",
        _FROM_RATE,
    ),
    Gpu(
        "H200",
        90,
        132,
        1.98,
        4800,
        "NVIDIA H200 SXM datasheet, 2024",
        f"multiprocessors: the H100's, which has the same chip; {_FROM_RATE}",
    ),
    Gpu(
        "B200",
        100,
        148,
        1.98,
        8000,
        "NVIDIA HGX B200 datasheet, 2025; DGX B200 datasheet, 2024 (64 TB/s for 8 GPUs)",
        f"multiprocessors: as the driver reports; {_FROM_RATE}",
    ),
    Gpu("RTX 4090", 89, 128, 2.52, 1008, "NVIDIA Ada GPU architecture whitepaper, 2022"),
    Gpu(
        "RTX 5090", 120, 170, 2.407, 1792, "NVIDIA RTX Blackwell GPU architecture whitepaper, 2025"
    ),
)


def resident_warps(arch: int, registers: int, threads: int) -> int:
    """Return the resident warps per multiprocessor for blocks of ``threads``.

    >>> resident_warps(90, registers=60, threads=128)
    32
    """
    for_warp = -(-registers * WARP // _REGISTER_UNIT) * _REGISTER_UNIT
    on_scheduler = REGISTERS // SCHEDULERS // for_warp
    by_registers = on_scheduler * SCHEDULERS
    in_block = -(-threads // WARP)
    return min(by_registers, ARCH[arch].warps) // in_block * in_block
