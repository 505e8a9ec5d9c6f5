"""What the arguments of the kernels are, for those who launch them without gpuopt."""

MEANINGS = {
    "addresses": "[n_lists, n_tensors], row-major: where the arrays of each list lie; "
    "a gradient at 0 is none, and its tensor rests",
    "sizes": "[n_tensors]: elements of each tensor",
    "chunks": "[n_chunks, 2], row-major: a tensor, and which of its chunks",
    "coefficients": "[n_tensors, n_coefficients], row-major",
    "skip": "one number: unless it is 0, the launch changes nothing",
    "n_tensors": "the number of tensors",
    "steps": "[n_tensors]: updates that each tensor has had; counted up by the kernel",
    "carried": "[n_tensors, n_carried], row-major: what each tensor carries from step to step; "
    "brought on by the kernel",
    "groups": "[n_tensors]: the group of each tensor",
    "options": "[n_groups, n_options], row-major",
}
