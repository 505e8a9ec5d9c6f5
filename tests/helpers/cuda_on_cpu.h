// What CUDA C takes for granted, for g++: a kernel is a function that is called for one thread
// after the other. Where a thread waits for the others of its block, those run up to there first:
// the threads are coroutines, if the first one of the block shows that they have to be.

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <utility>
#include <vector>

#define __global__
#define __device__ inline
#define __shared__ static
#define __launch_bounds__(...)

struct uint3 {
    unsigned int x, y, z;
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

inline unsigned int __byte_perm(unsigned int x, unsigned int y, unsigned int selector)
{
    const unsigned long long bytes = (unsigned long long)y << 32 | x;
    unsigned int picked = 0;
    for (int i = 0; i < 4; i++) {
        picked |= (unsigned int)(bytes >> 8 * (selector >> 4 * i & 7) & 0xff) << 8 * i;
    }
    return picked;
}

inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }

// --- threads that wait for each other ----------------------------------------------------------

namespace block {

struct Thread {
    ucontext_t context;
    std::vector<char> stack;
    bool done;
};

static std::vector<Thread> threads;
static ucontext_t scheduler;
static bool resumable;  // whether the running thread is a coroutine
static const char* waits_at;  // what the thread that gave way waits for
static void (*kernel)(void*);
static void* arguments;

inline void fail(const char* what)
{
    fprintf(stderr, "block %u, thread %u: %s\n", blockIdx.x, threadIdx.x, what);
    abort();
}

// Gives way until all threads of the block are here.
inline void wait(const char* here)
{
    if (!resumable) fail("a barrier that the first thread of the block did not meet");
    waits_at = here;
    swapcontext(&threads[threadIdx.x].context, &scheduler);
}

inline void begin()
{
    kernel(arguments);
    threads[threadIdx.x].done = true;
}

inline void resume(unsigned int thread)
{
    threadIdx.x = thread;
    resumable = true;
    swapcontext(&scheduler, &threads[thread].context);
    resumable = false;
}

inline void prepare(unsigned int thread)
{
    Thread& one = threads[thread];
    one.stack.resize(1 << 16);
    one.done = false;
    getcontext(&one.context);
    one.context.uc_stack.ss_sp = one.stack.data();
    one.context.uc_stack.ss_size = one.stack.size();
    one.context.uc_link = &scheduler;
    makecontext(&one.context, begin, 0);
}

inline void run(unsigned int count)
{
    threads.resize(count);
    prepare(0);
    resume(0);
    if (threads[0].done) {  // it waited for nobody: neither do the others
        for (threadIdx.x = 1; threadIdx.x < count; threadIdx.x++) {
            kernel(arguments);
        }
        return;
    }
    const char* here = waits_at;
    for (unsigned int i = 1; i < count; i++) {
        prepare(i);
    }
    for (unsigned int first = 1; !threads[0].done; first = 0) {
        for (unsigned int i = first; i < count; i++) {
            resume(i);
            if (i == 0) here = waits_at;
            if (threads[i].done != threads[0].done) fail("not all threads meet a barrier");
            if (!threads[i].done && waits_at != here) fail("another barrier than the others'");
        }
    }
}

}  // namespace block

inline void __syncthreads() { block::wait("__syncthreads"); }

// Every second exchange has its own places: whoever is slow still finds the last one's.
template <typename T>
T __shfl_xor_sync(unsigned int, T value, int distance)
{
    static T places[2][1024];
    static unsigned int exchanges[1024];
    T* const held = places[exchanges[threadIdx.x]++ % 2];
    held[threadIdx.x] = value;
    block::wait("__shfl_xor_sync");
    return held[threadIdx.x ^ distance];
}

// Calls a kernel for every thread of a one-dimensional grid; each argument is where its value is.
template <typename... Parameter, size_t... I>
void call(
    void (*kernel)(Parameter...), unsigned int grid, unsigned int threads, void** arguments,
    std::index_sequence<I...>)
{
    auto bound = [&] { kernel(*static_cast<Parameter*>(arguments[I])...); };
    block::kernel = [](void* one) { (*static_cast<decltype(bound)*>(one))(); };
    block::arguments = &bound;
    for (blockIdx.x = 0; blockIdx.x < grid; blockIdx.x++) {
        block::run(threads);
    }
}

template <typename... Parameter>
void launch(
    void (*kernel)(Parameter...), unsigned int grid, unsigned int block, void** arguments)
{
    call(kernel, grid, block, arguments, std::index_sequence_for<Parameter...>());
}
