"""The rules, compiled by LLVM for the CPU."""
