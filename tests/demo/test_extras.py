"""Each command imports no more than it needs; where that is missing, it says what to install."""

import pytest

from tests.helpers.scripts import run_script

DEMO = ("rich", "matplotlib", "sklearn", "threadpoolctl")

SCRIPT = """
    import contextlib, sys

    class Missing:
        def find_spec(name, path=None, target=None):
            if name.partition(".")[0] in {missing}:
                raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

    sys.meta_path.insert(0, Missing)
    sys.argv = ["gpuopt", *{arguments}.split()]
    from gpuopt.cli import main
    with contextlib.redirect_stderr(sys.stdout):
        try:
            main()
        except SystemExit as end:
            print("exit code", end.code)
"""


def gpuopt_without(missing, arguments):
    """What the command says, on either stream, in an environment without some libraries."""
    return run_script(SCRIPT.format(missing=missing, arguments=repr(arguments)))


def test_doctor_needs_nothing_of_the_demo():
    said = gpuopt_without(DEMO, "doctor --require numpy")
    assert "Backend of each kind of array" in said
    assert said.endswith("exit code 0\n")


def test_inspect_needs_nothing_of_the_demo():
    pytest.importorskip("triton")
    said = gpuopt_without(DEMO, "inspect --rule gradient_descent --check --arch 90 --dtype float32")
    assert "\n1 kernels checked, 0 failures" in said
    assert said.endswith("exit code 0\n")


@pytest.mark.parametrize("name", ["compare", "sweep"])
def test_what_shows_the_demo_is_named_with_its_extra(name):
    said = gpuopt_without(DEMO, name)
    assert said == f"gpuopt {name} needs rich: pip install 'gpuopt[demo]'\nexit code 2\n"


@pytest.mark.parametrize("name", ["compare", "sweep"])
def test_the_data_of_the_demo_are_named_with_its_extra(name, tmp_path):
    said = gpuopt_without(DEMO[1:], f"{name} --output {tmp_path}/picture.png")
    assert said.startswith("The digits come with scikit-learn: pip install 'gpuopt[demo]' (No mod")
    assert said.endswith("exit code 2\n")
    assert not list(tmp_path.iterdir())
