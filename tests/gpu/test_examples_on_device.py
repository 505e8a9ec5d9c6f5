"""The examples that use a GPU where there is one."""

from tests.helpers.examples import EXAMPLES, numbers, run_example


def losses(name, folder, what="loss"):
    lines = run_example(EXAMPLES / f"{name}.py", folder, device="cuda")
    found = numbers(lines, what)
    assert found[-1] < 0.6 * found[0]
    return lines


def test_a_scaled_loss_falls(torch, tmp_path):
    losses("torch_amp", tmp_path)


def test_a_gpt_is_trained_and_resumed(torch, tmp_path):
    losses("train_gpt", tmp_path, "validation loss")
    resumed = run_example(EXAMPLES / "train_gpt.py", tmp_path, device="cuda")
    assert resumed[0] == "resumed at step 100"


def test_cupys_arrays_are_trained(cupy, tmp_path):
    assert losses("arrays", tmp_path)[-1].endswith("cupy arrays")
