"""Mutants of files, of the search path, of warnings, and of `gpuopt doctor`."""

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "a save that fails leaves its partial file behind",
        "gpuopt/system/files.py",
        "        partial.remove()\n",
        "",
        "tests/optimizers/test_interrupted_save.py -k error",
    ),
    Mutant(
        "a file that its group can write is trusted",
        "gpuopt/system/files.py",
        "status.st_mode & 0o022",
        "status.st_mode & 0o002",
        "tests/faults/test_caches.py -k damaged",
    ),
    Mutant(
        "where files cannot be locked, new ones are taken for leftovers",
        "gpuopt/system/files.py",
        "time.time() - status.st_mtime > _OLD",
        "time.time() - status.st_mtime < _OLD",
        "tests/faults/test_saving.py -k age_decides",
    ),
    Mutant(
        "compilers import from the working folder",
        "gpuopt/system/search_path.py",
        'path = [folder for folder in sys.path if folder not in ("", os.curdir)]',
        "path = list(sys.path)",
        "tests/faults/test_working_folder.py -k run_anew",
    ),
    Mutant(
        "an nvidia-smi that fails lists no devices and no reason",
        "gpuopt/doctor.py",
        "    if answer.returncode:\n",
        "    if answer.returncode < 0:\n",
        "tests/test_doctor.py -k does_not_answer",
    ),
    Mutant(
        "known variables are named as unknown",
        "gpuopt/variables.py",
        "        if name not in KNOWN\n",
        "",
        "tests/test_variables.py -k named_once",
    ),
    Mutant(
        "a warning points into torch",
        "gpuopt/messages/warn.py",
        'frozenset({"gpuopt", "torch", "contextlib"})',
        'frozenset({"gpuopt", "contextlib"})',
        "tests/test_warn.py",
    ),
)
