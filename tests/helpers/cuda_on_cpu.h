// What CUDA C takes for granted, for g++: a kernel is a function that is called for one thread
// after the other. There is no shared memory and no barrier; gpuopt's kernels use neither.

#include <math.h>
#include <stddef.h>
#include <string.h>

#include <utility>

#define __global__
#define __device__ inline
#define __launch_bounds__(...)

struct uint3 {
    unsigned int x, y, z;
};

struct alignas(16) uint4 {
    unsigned int x, y, z, w;
};

static uint3 blockIdx, threadIdx;

template <typename To, typename From>
To same_bits(From from)
{
    static_assert(sizeof(To) == sizeof(From));
    return __builtin_bit_cast(To, from);
}

inline unsigned int __float_as_uint(float x) { return same_bits<unsigned int>(x); }
inline float __uint_as_float(unsigned int x) { return same_bits<float>(x); }
inline long long __double_as_longlong(double x) { return same_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return same_bits<double>(x); }
inline void* __cvta_global_to_generic(size_t address) { return reinterpret_cast<void*>(address); }

// Calls a kernel for every thread of a one-dimensional grid; each argument is where its value is.
template <typename... Parameter, size_t... I>
void call(
    void (*kernel)(Parameter...), unsigned int grid, unsigned int block, void** arguments,
    std::index_sequence<I...>)
{
    for (blockIdx.x = 0; blockIdx.x < grid; blockIdx.x++) {
        for (threadIdx.x = 0; threadIdx.x < block; threadIdx.x++) {
            kernel(*static_cast<Parameter*>(arguments[I])...);
        }
    }
}

template <typename... Parameter>
void launch(
    void (*kernel)(Parameter...), unsigned int grid, unsigned int block, void** arguments)
{
    call(kernel, grid, block, arguments, std::index_sequence_for<Parameter...>());
}
