import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import gpuopt
from gpuopt import cli
from gpuopt.demo import comparison, data, views
from gpuopt.demo.methods import DEFAULT, METHODS
from gpuopt.engine.dispatch import BACKENDS, Backend, forced
from tests.helpers.backends import REFERENCE
from tests.helpers.console import words
from tests.helpers.scripts import run_script
from tests.tolerances import assert_close

QUICK = ("--epochs", "1", "--backend", REFERENCE)
LABELS = [method.label for method in DEFAULT]


@pytest.fixture
def numbers(command, tmp_path, monkeypatch):
    """What a command writes with --json; no picture, which would take time."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    def run_command(*arguments):
        assert command(*arguments, *QUICK, "--json", "numbers.json").code == 0
        return json.loads((tmp_path / "numbers.json").read_text())

    return run_command


@pytest.fixture
def forbid_training(monkeypatch):
    """A command that trains fails."""

    def refuse(*arguments):
        raise AssertionError("it trains")

    monkeypatch.setattr(comparison, "run", refuse)


@pytest.fixture
def interrupt_the_third_trial(monkeypatch):
    """Ctrl-C is pressed while the third trial runs."""
    run, started = comparison.run, []

    def interrupted(trial, *arguments):
        started.append(trial)
        if len(started) == 3:
            raise KeyboardInterrupt
        return run(trial, *arguments)

    monkeypatch.setattr(comparison, "run", interrupted)


# --- what the commands do ---------------------------------------------------------------------


def test_compare_prints_a_table_and_draws_a_picture(command, tmp_path):
    done = command("compare", *QUICK)
    assert done.code == 0
    assert [label for label in LABELS if f"\n {label} " in done.out] == LABELS
    assert "100 handwritten digits to train on, 50 to test on" in done.out
    assert done.err.endswith("Picture: compare.png\n")
    assert [path.name for path in tmp_path.iterdir()] == ["compare.png"]


@pytest.fixture
def captions(monkeypatch):
    """What is written above the panels of each picture that is drawn."""
    found = []

    def noted(draw):
        def draw_and_note(*arguments):
            figure = draw(*arguments)
            found.append(" ".join(" ".join(text.get_text() for text in figure.texts).split()))
            return figure

        return draw_and_note

    for name in ("comparison_figure", "sweep_figure"):
        monkeypatch.setattr(views, name, noted(getattr(views, name)))
    return found


def test_a_picture_says_with_which_options_it_was_made(command, captions):
    few = ("--epochs", "1", "--backend", REFERENCE)
    command("compare", *few, "--lr", "10", "--also", "AdamW, adagrad", "--stats", "--json", "x")
    command("sweep", *few, "--lr", "0.1,1", "--batch-size", "50", "--output", "x.png")
    assert captions[0].endswith(
        "; 1 epoch; seed 0; `gpuopt compare --also 'AdamW, adagrad' --epochs 1 --lr 10 "
        f"--backend {REFERENCE} --stats`"
    )
    assert captions[1].endswith(
        f"; `gpuopt sweep --lr 0.1,1 --epochs 1 --batch-size 50 --backend {REFERENCE}`"
    )


def test_options_at_their_defaults_are_not_repeated(command, captions):
    command("compare", *QUICK, "--seed", "0", "--batch-size", "32", "--device", "cpu")
    assert captions[0].endswith(f"; `gpuopt compare --epochs 1 --backend {REFERENCE}`")


def test_sweep_prints_tables_and_draws_a_picture(command, tmp_path):
    done = command("sweep", *QUICK, "--lr", "0.1,0.01")
    assert done.code == 0
    rows = [line.split() for line in done.out.splitlines()]
    assert [row[0] for row in rows if len(row) == 7 and row[0][0] == "0"] == ["0.01", "0.1"]
    assert done.err == "Picture: sweep.png\n"
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.png"]


def test_also_adds_methods_whatever_their_spelling(numbers):
    found = numbers("compare", "--also", "AdamW, rmsprop-centered,adamw")
    expected = [*(method.name for method in DEFAULT), "adamw", "rmsprop_centered"]
    assert [result["method"] for result in found["results"]] == expected


def test_also_takes_every_optimizer_by_its_class_and_all_of_them(command, numbers):
    found = numbers("compare", "--also", "AdEMAMix, AdamWScheduleFree,SophiaG")
    own = [(result["method"], result["optimizer"]) for result in found["results"][6:]]
    names = ("AdEMAMix", "AdamWScheduleFree", "SophiaG")
    assert own == [(name.lower(), name) for name in names]
    found = numbers("sweep", "--also", "all", "--lr", "0.001")
    assert [result["method"] for result in found["results"]] == [*METHODS]
    help_text = words(command("compare", "--help").out)
    assert all(name in help_text for name in METHODS if name not in {m.name for m in DEFAULT})
    assert "or all of them" in help_text


def test_the_options_reach_the_training(numbers):
    found = numbers("compare", "--lr", "0.125", "--batch-size", "50", "--seed", "7")
    assert (found["settings"]["seed"], found["settings"]["epochs"]) == (7, 1)
    assert [result["lr"] for result in found["results"]] == [0.125] * 6
    assert [result["batch_size"] for result in found["results"]] == [100, 1, 50, 50, 50, 50]
    assert {result["backend"] for result in found["results"]} == {REFERENCE}


@pytest.fixture
def during_training(monkeypatch):
    """What a function says while the trials run."""
    run, answers = comparison.run, []

    def ask(function):
        def asked(*arguments):
            answers.append(function())
            return run(*arguments)

        monkeypatch.setattr(comparison, "run", asked)
        return answers

    return ask


def test_the_backend_is_forced_while_it_trains_and_not_after(command, monkeypatch, during_training):
    monkeypatch.setitem(BACKENDS, "twin", replace(BACKENDS[REFERENCE], name="twin"))
    force = during_training(forced)
    assert command("sweep", "--epochs", "1", "--lr", "0.1", "--backend", "twin").code == 0
    assert [name for name, _ in force] == ["twin"] * 6
    assert forced()[0] == REFERENCE


def test_the_network_is_computed_by_one_thread(command, during_training):
    def threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    counts = during_training(threads)
    with threadpool_limits(2, "blas"):
        assert command("sweep", *QUICK, "--lr", "0.1").code == 0
    assert counts == [{1}] * 6


def test_the_same_seed_gives_the_same_numbers(numbers):
    def losses(*arguments):
        found = numbers("compare", *arguments)["results"]
        return [result["history"] for result in found]

    assert losses() == losses("--seed", "0") != losses("--seed", "1")


def test_sweep_tries_every_rate_and_beta(numbers):
    found = numbers("sweep", "--lr", "0.1, 0.01", "--beta", "0.5,0.9")["results"]
    tried = {(result["method"], result["lr"], result["beta"]) for result in found}
    rates, betas = (0.01, 0.1), (0.5, 0.9)
    without = {(m, rate, None) for m in ("batch", "stochastic", "minibatch") for rate in rates}
    pairs = [(rate, beta) for rate in rates for beta in betas]
    having = {(m, *pair) for m in ("momentum", "rmsprop", "adam") for pair in pairs}
    assert tried == without | having
    assert len(found) == len(tried)


def test_what_goes_wrong_is_reported_as_it_appears(command):
    done = command("compare", "--epochs", "3", "--backend", REFERENCE, "--lr", "1e30")
    assert done.code == 0
    for label in LABELS:
        assert f"{label}, epoch 1: NaN in layers 1, 2, 3: training loss nan" in done.err
    assert done.out.count(" yes") == 6


def test_a_hyphen_prints_the_numbers_and_nothing_else(command):
    done = command("compare", *QUICK, "--json", "-")
    assert len(json.loads(done.out)["results"]) == 6
    assert "batch GD" in done.err


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_picture_goes_where_it_is_wanted(command, tmp_path, ending):
    path = tmp_path / "a [folder]" / f"picture.{ending}"
    path.parent.mkdir()
    done = command("sweep", *QUICK, "--lr", "0.1", "--output", str(path))
    assert done.err == f"Picture: {path}\n"
    assert path.stat().st_size > 1000


# --- what they refuse -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("compare --lr -1", "'--lr': got -1, expected a finite number above 0"),
        ("compare --lr 0", "'--lr': got 0, expected a finite number above 0"),
        ("compare --lr nan", "'--lr': got nan, expected a finite number above 0"),
        ("compare --lr inf", "'--lr': got inf, expected a finite number above 0"),
        ("compare --epochs 0", "'--epochs': got 0, expected a whole number from 1"),
        ("compare --batch-size 0", "'--batch-size': got 0, expected a whole number from 1"),
        ("compare --batch-size 101", "'--batch-size': got 101, expected at most 100, all the"),
        ("compare --seed -1", "'--seed': got -1, expected a whole number from 0"),
        ("compare --also adm", f"'--also': got 'adm', expected names out of {', '.join(METHODS)}"),
        ("compare --backend tpu", f"'--backend': got 'tpu', expected one of {', '.join(BACKENDS)}"),
        ("compare --output x.jpeg", "'--output': got 'x.jpeg', expected a name that ends in .png"),
        ("compare --output no/x.png", "'--output': got 'no/x.png', expected a file that can be"),
        ("compare --json no/x", "'--json': got 'no/x', expected a file that can be written (No"),
        ("compare --json .", "'--json': got '.', expected a file that can be written (Is a"),
        ("sweep --lr 0.1,x", "'--lr': got 'x', expected comma-separated numbers"),
        ("sweep --lr 0.1,-1", "'--lr': got -1, expected a finite number above 0"),
        ("sweep --lr ,", "'--lr': got ',', expected at least one number"),
        ("sweep --beta 1", "'--beta': got 1, expected a number from 0 up to, but not including, 1"),
        ("sweep --beta 0.5,-0.1", "'--beta': got -0.1, expected a number from 0"),
        ("sweep --epochs 0", "'--epochs': got 0, expected a whole number from 1"),
        ("sweep --also nothing", "'--also': got 'nothing', expected names out of batch, stoch"),
    ],
)
def test_a_bad_option_is_refused_before_anything_is_trained(
    command, tmp_path, forbid_training, arguments, message
):
    done = command(*arguments.split())
    assert done.code == 2
    assert f"Invalid value for {message}" in words(done.err)
    assert not done.out
    assert not list(tmp_path.iterdir())


def test_looking_whether_a_file_can_be_written_does_not_change_it(command, tmp_path):
    for name in ("old.json", "old.png"):
        (tmp_path / name).write_text("precious")
    arguments = ("--json", "old.json", "--output", "old.png", "--batch-size", "101")
    assert command("compare", *arguments).code == 2
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"] * 2


def test_a_backend_that_cannot_run_is_refused(command, monkeypatch, forbid_training):
    broken = Backend("broken", "no_such_library", ("cpu",), "pip install 'gpuopt[broken]'")
    monkeypatch.setitem(BACKENDS, "broken", broken)
    done = command("compare", "--backend", "broken")
    assert done.code == 2
    assert "no_such_library" in done.err and "pip install 'gpuopt[broken]'" in done.err


def test_a_backend_of_the_environment_that_does_not_exist_is_refused(
    command, monkeypatch, forbid_training
):
    monkeypatch.setenv("GPUOPT_BACKEND", "abacus")
    done = command("compare")
    assert done.code == 2
    assert "GPUOPT_BACKEND" in done.err and "'abacus'" in done.err


@pytest.mark.parametrize("name", ["compare", "sweep"])
def test_threads_of_the_environment_that_are_none_are_refused(
    command, monkeypatch, forbid_training, name
):
    monkeypatch.setenv("GPUOPT_NUM_THREADS", "two")
    done = command(name)
    assert done.code == 2
    assert "GPUOPT_NUM_THREADS: expected a positive integer, got 'two'" in done.err


def test_a_disk_that_is_full_costs_the_file_but_not_the_table(command, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device", "numbers.json")

    monkeypatch.setattr("gpuopt.demo.record.save", full)
    done = command("compare", *QUICK, "--json", "numbers.json")
    assert done.code == 1
    assert "batch GD" in done.out
    assert "No space left on device: 'numbers.json'" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("compare --epochs x", "'--epochs': got 'x', expected a whole number."),
        ("compare --epochs 1.5", "'--epochs': got '1.5', expected a whole number."),
        ("compare --batch-size many", "'--batch-size': got 'many', expected a whole number."),
        ("compare --seed x", "'--seed': got 'x', expected a whole number."),
        ("compare --lr fast", "'--lr': got 'fast', expected a number."),
        ("sweep --epochs x", "'--epochs': got 'x', expected a whole number."),
    ],
)
def test_what_is_no_number_is_refused_in_our_own_words(
    command, forbid_training, arguments, message
):
    done = command(*arguments.split())
    assert done.code == 2
    assert f"Invalid value for {message}" in words(done.err)
    assert "Input should be" not in done.err  # pydantic's, which typer asks


# --- help -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "compare", "sweep", "doctor", "inspect", "warm"])
def test_short_and_long_help_are_the_same(command, name):
    short, long = (command(*filter(None, (name, option))) for option in ("-h", "--help"))
    assert short.code == long.code == 0
    assert "--help" in short.out
    assert short.out == long.out


# --- Ctrl-C -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["compare", "sweep"])
def test_ctrl_c_leaves_the_table_of_what_is_finished(
    command, tmp_path, interrupt_the_third_trial, name
):
    done = command(name, *QUICK, "--json", "numbers.json")
    assert done.code == 130
    assert "batch GD" in done.out
    assert "Momentum" not in done.out
    trials = 6 if name == "compare" else 60
    assert done.err == f"Interrupted with 2 of {trials} finished; no file was written.\n"
    assert not list(tmp_path.iterdir())


def test_ctrl_c_before_anything_is_finished(command, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "load", interrupted)
    done = command("compare")
    assert (done.code, done.out, done.err) == (130, "", "Interrupted.\n")


# --- what may be missing ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["compare", "sweep"])
def test_without_matplotlib_there_is_a_table_and_a_line_that_says_so(
    command, tmp_path, monkeypatch, name
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    done = command(name, *QUICK)
    assert done.code == 0
    assert "batch GD" in done.out
    assert "No picture: that needs matplotlib, pip install 'gpuopt[demo]'" in done.err
    assert not list(tmp_path.iterdir())


def test_without_scikit_learn_there_is_a_line_that_says_so(command, monkeypatch):
    def missing():
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")

    monkeypatch.setattr(data, "load", missing)
    done = command("compare")
    assert done.code == 2
    assert "The digits come with scikit-learn: pip install 'gpuopt[demo]'" in done.err


def test_loading_names_scikit_learn_when_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ModuleNotFoundError, match="sklearn"):
        data.load()


def test_without_llvmlite_the_reference_is_used():
    found = run_script(
        """
        import sys
        sys.modules["llvmlite"] = None
        from gpuopt.demo import data
        from gpuopt.demo.comparison import Settings, Trial, run
        from gpuopt.demo.methods import METHODS
        print(run(Trial(METHODS["adam"]), data.load(), Settings(epochs=1)).backend)
        """,
        GPUOPT_BACKEND=None,
    )
    assert found == "numpy\n"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("gpuopt ", {"compare", "sweep", "doctor", "verify", "run", "inspect", "warm", "cache"}),
        ("gpuopt in", {"inspect"}),
        ("gpuopt inspect --s", {"--sample", "--source"}),
    ],
)
def test_a_shell_completes_commands_and_options(typed, expected):
    words = typed.split(" ")
    asked = {"COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "gpuopt"],
        env={**os.environ, **asked, "_GPUOPT_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) == expected


@pytest.mark.parametrize(
    ("arguments", "extra"), [([], "demo"), (["compare"], "demo"), (["inspect", "-h"], "inspect")]
)
def test_without_typer_one_sentence_says_what_to_install(monkeypatch, capsys, arguments, extra):
    monkeypatch.setitem(sys.modules, "typer", None)
    monkeypatch.setattr(sys, "argv", ["gpuopt", *arguments])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == 2
    said = f"The gpuopt command needs typer: pip install 'gpuopt[{extra}]' (doctor, verify, "
    assert capsys.readouterr().err == f"{said}run and --version do without)\n"


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_with_and_without_typer(monkeypatch, capsys, command, option):
    assert command(option).out == f"gpuopt {gpuopt.__version__}\n"
    monkeypatch.setitem(sys.modules, "typer", None)
    monkeypatch.setattr(sys, "argv", ["gpuopt", option])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"gpuopt {gpuopt.__version__}\n"


def test_ctrl_c_while_the_command_line_loads(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "application", interrupted)
    monkeypatch.setattr(sys, "argv", ["gpuopt"])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == 130


# --- doctor -----------------------------------------------------------------------------------


def test_doctor_passes_its_options_on_and_its_answer_back(command, tmp_path):
    done = command("doctor", "--json", "report.json", "--require", "numpy,llvm")
    assert "numpy" in done.out
    assert json.loads((tmp_path / "report.json").read_text())["packages"]["numpy"]
    assert done.code == (0 if BACKENDS["llvm"].problem() is None else 1)
    assert command("doctor", "--require", "abacus").code == 2
    assert "unrecognized arguments: --requires" in command("doctor", "--requires", "x").err
    assert json.loads(command("doctor", "--json", "-").out)["packages"]["numpy"]


def test_verify_passes_its_options_on_and_its_answer_back(command, monkeypatch):
    given = []
    monkeypatch.setattr("gpuopt.verify.command.verify", lambda *options: given.append(options) or 1)
    assert command("verify", "--only", "llvm", "--json", "-").code == 1
    assert given == [("llvm", [], Path("-"), None)]
    assert "unrecognized arguments: --onyl" in command("verify", "--onyl", "x").err
    assert "gpuopt-verify.md" in command("verify", "--help").out


def test_the_last_steps_are_shown_if_asked_for(numbers):
    (first, *_) = numbers("compare", "--stats")["results"]
    last = first["last_step"]
    assert_close(last["update_norm"], 0.3 * last["grad_norm"], "difference of weights")
    assert numbers("compare")["results"][0]["last_step"] is None
