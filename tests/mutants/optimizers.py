"""Mutants of the optimizers over plain arrays: options, state dicts, checkpoints, averages."""

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "a beta of 1 is accepted",
        "gpuopt/rules/ranges.py",
        'BELOW_ONE = Range("a number in [0, 1)", lambda x: 0 <= x < 1)',
        'BELOW_ONE = Range("a number in [0, 1)", lambda x: 0 <= x <= 1)',
        "tests/optimizers/test_bad_options.py -k betas",
    ),
    Mutant(
        "an option of all groups is checked in the first",
        "gpuopt/optimizers/constructors.py",
        "taken = [group.accepted(self._name, value) for group in groups]",
        "taken = [groups[0].accepted(self._name, value)] * len(groups)",
        "tests/optimizers/test_optimizer_options.py tests/optimizers/test_bad_options.py"
        " -k 'exclude or none_of or nothing_of or differ'",
    ),
    Mutant(
        "a new scale of the loss does not add its stage",
        "gpuopt/optimizers/plan.py",
        "if others or before is None or common[FACTOR] != before.common[FACTOR]:",
        "if others or before is None:",
        "tests/optimizers/test_loss_scale.py -k scale_of_its_own",
    ),
    Mutant(
        "a group that is given another list goes unnoticed",
        "gpuopt/optimizers/given.py",
        "and list(map(_PARAMS, self._groups)) == self._containers",
        "and self._containers == self._containers",
        "tests/optimizers/test_rebound.py -k group_that_is_given",
    ),
    Mutant(
        "a name may be given twice",
        "gpuopt/optimizers/params.py",
        "    _check_keys(keys)\n",
        "",
        "tests/optimizers/test_bad_parameters.py -k structures",
    ),
    Mutant(
        "a state dict holds the live arrays",
        "gpuopt/engine/states.py",
        "return [{name: _copy(array) for",
        "return [{name: array for",
        "tests/optimizers/test_resume.py -k snapshot",
    ),
    Mutant(
        "states in 8 bits of a newer version are loaded",
        "gpuopt/optimizers/coded_dicts.py",
        "    if version != FORMATS_VERSION:\n",
        "    if False:\n",
        "tests/optimizers/test_8bit_state_dicts.py -k newer",
    ),
    Mutant(
        "a piece of codes is decoded with the scales of the first",
        "gpuopt/engine/flat.py",
        "slice(begin // BLOCK, -(-(begin + PIECE) // BLOCK))",
        "slice(0, PIECE // BLOCK)",
        "tests/optimizers/test_8bit_state_dicts.py -k each_piece",
    ),
    Mutant(
        "a group's own state_dtype is not the one that counts",
        "gpuopt/optimizers/plan.py",
        "dtypes = values.get(STATE_DTYPE, (self._state_dtype,) * len(rules))",
        "dtypes = (self._state_dtype,) * len(rules)",
        "tests/tail/test_state_dtype_of_groups.py -k each_group",
    ),
    Mutant(
        "a state of another shape and the same size is loaded",
        "gpuopt/optimizers/state_dicts.py",
        "    if values.shape != shape:\n",
        "    if values.size != np.prod(shape):\n",
        "tests/optimizers/test_bad_state_dicts.py -k other_arrays",
    ),
    Mutant(
        "a load forgets what tensors carry",
        "gpuopt/optimizers/base.py",
        "contents.steps, contents.states, contents.carried, contents.formats",
        "contents.steps, contents.states, (), contents.formats",
        "tests/optimizers/test_resume.py -k 'every_optimizer_resumes_with and NAdam'",
    ),
    Mutant(
        "a learning rate that is a tensor becomes a number at a load",
        "gpuopt/optimizers/base.py",
        "                loaded.keep_of(mine)\n",
        "                pass\n",
        "tests/optimizers/test_resume.py -k stays_that_tensor",
    ),
    Mutant(
        "the checksum of a file is not compared",
        "gpuopt/optimizers/checkpoint.py",
        "        tensor_file.check(tensors, texts)\n",
        "",
        "tests/faults/test_saving.py -k flipped_bit",
    ),
    Mutant(
        "the checksum in a file is that of nothing",
        "gpuopt/optimizers/tensor_file.py",
        "_header(arrays, texts, checksum))  # of the same length",
        "_header(arrays, texts, 0))  # of the same length",
        "tests/optimizers/test_resume.py -k path",
    ),
    Mutant(
        "the weights stay swapped after an evaluation",
        "gpuopt/optimizers/tail_methods.py",
        "                averaged.close()\n",
        "                pass\n",
        "tests/tail/test_averages.py -k for_a_while",
    ),
    Mutant(
        "complex tensors lose the memory of their views",
        "gpuopt/optimizers/averages.py",
        "if same and is_torchs(param) and not fixed:",
        "if same and is_torchs(param):",
        "tests/drop_in/test_behaviour.py -k averages_of_complex",
    ),
)
