"""A simulated CUDA device: the PTX that a GPU would get, executed on the CPU.

    parse       PTX as text: the kernels, their parameters, registers and instructions
    operations  what each arithmetic instruction computes, as a C expression
    translate   a kernel as a C function of one thread
    device.h    memory as one thread sees it, and the loop over blocks and threads
    build       C to a shared object, kept on disk
    run         a kernel, launched; what goes wrong is an error with the line and the thread
    memory      which memory a launch may touch, and how often it did
    nvrtc       the CUDA C of the CuPy backend, by way of NVRTC's PTX
    runtime     streams, events, memory, graphs and two devices around the kernels
    driver      Triton's own JIT and launcher, over a stand-in for libcuda (libcuda.c)

A GPU's threads are executed one after the other; those of a block that wait for each other, at a
barrier or for an exchange, take turns. An instruction that is not known is an error.
"""
