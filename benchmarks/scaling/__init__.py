"""The cost of a sharded step per rank: computed for any number of ranks, measured for a few.

    python -m benchmarks.scaling

    python -m benchmarks.scaling --measure 1 2 --model gpt2

The computed page builds the tables that a rank would run, for shards as FSDP2 makes them (by rows;
the first rank has the most). Its time is a lower bound: the bytes over a GPU's published bandwidth,
without collectives. The measured page starts processes with gloo on this CPU.
"""
