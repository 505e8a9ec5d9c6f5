"""The CUDA runtime around the simulated kernels: devices, streams, events, memory and graphs.

Kernels alone cannot show how the host orders them. Here nothing that goes to a stream is done
before the host waits for it, and everything that is done is compared with what has no order to it:

    order     streams and events as vector clocks
    blocks    memory: of a device or pinned, live or freed; freed memory is poisoned
    machine   two devices; what is enqueued, when it is done, and which errors that shows
    graphs    capture, in which some calls are errors, and replay
    kernels   launches of simulated kernels: which bytes each loads and stores
    tensors   torch tensors on these devices, and what torch does with them
    in_torch  `torch.cuda` over the machine
    in_cupy   CuPy over the machine
    shipped   the two shipped backends, unchanged, over all this

A fault of the host is an error where the host next waits, and names both pieces of work.
"""
