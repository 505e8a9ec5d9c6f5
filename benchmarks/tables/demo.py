"""Tables of `gpuopt compare`, and of its warnings."""

from __future__ import annotations

from .cells import data_of, table


def compare_table() -> str:
    """Return what each optimizer of `gpuopt compare` reached."""
    data = data_of("compare")
    head = ("", "lr", "epochs", "train loss", "test loss", "test accuracy", "epochs to 95%")
    rows = [
        (
            one["label"],
            f"{one['lr']:g}",
            str(one["final"]["number"]),
            f"{one['final']['train_loss']:.3g}",
            f"{one['final']['test_loss']:.3g}",
            f"{one['final']['test_accuracy']:.1%}",
            str(one["epochs_to_target"] or "never"),
        )
        for one in data["results"]
    ]
    return table(head, rows) + f"\n\n*`gpuopt compare --seed {data['settings']['seed']}`*"


def warnings_table() -> str:
    """Return how many warnings of `gpuopt compare` came true."""
    data = data_of("warnings")
    head = ("runs", "", "warning", "was right", "in trouble", "noticed")
    rows = [
        (
            one["runs of"],
            one["runs"],
            one["warning"],
            f"{one['came true']} of {one['warnings']}" if one["warnings"] != "0" else "none raised",
            one["in trouble"],
            one["noticed"],
        )
        for one in data["rows"]
    ]
    first, last = data["seeds"]
    command = f"python -m benchmarks.warnings --first {first} --seeds {last - first + 1}"
    return table(head, rows) + f"\n\n*{data['date']}; `{command}`*"
