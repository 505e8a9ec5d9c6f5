// What a translated kernel stands on: PTX's types, the arithmetic that C has no operator for,
// memory as one thread sees it, and the loop over blocks and threads. Above this text stand SITES,
// the number of instructions that access memory; WAITS, whether threads wait for each other, or
// have memory together; and SHARED, the bytes of shared memory beside those that a launch asks for.
// `thread` stands below.

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

typedef uint8_t u8, b8, pred;
typedef uint16_t u16, b16;
typedef uint32_t u32, b32;
typedef uint64_t u64, b64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef float f32;
typedef double f64;

// --- a register holds bits; an instruction says what they mean ---------------------------------

#define COPIED(T, FROM)               \
    T copy;                           \
    memcpy(&copy, FROM, sizeof copy); \
    return copy

#define TYPE(T, BITS)                                                  \
    static inline T as_##T(BITS bits) { COPIED(T, &bits); }            \
    static inline BITS of_##T(T value) { COPIED(BITS, &value); }       \
    static inline T load_##T(u64 at) { COPIED(T, (const void*)at); }   \
    static inline void store_##T(u64 at, T value) { memcpy((void*)at, &value, sizeof value); }

TYPE(pred, u8) TYPE(u8, u8) TYPE(b8, u8) TYPE(s8, u8)
TYPE(u16, u16) TYPE(b16, u16) TYPE(s16, u16)
TYPE(u32, u32) TYPE(b32, u32) TYPE(s32, u32) TYPE(f32, u32)
TYPE(u64, u64) TYPE(b64, u64) TYPE(s64, u64) TYPE(f64, u64)

// --- arithmetic ----------------------------------------------------------------------------------

// Every NaN that float32 arithmetic makes is this one; float64's are left as they are.
static inline f32 canonical_f32(f32 a) { return a == a ? a : as_f32(0x7fffffff); }
static inline f64 canonical_f64(f64 a) { return a; }

static inline f32 sqrt_f32(f32 a) { return sqrtf(a); }
static inline f64 sqrt_f64(f64 a) { return sqrt(a); }
static inline f32 fma_f32(f32 a, f32 b, f32 c) { return fmaf(a, b, c); }
static inline f64 fma_f64(f64 a, f64 b, f64 c) { return fma(a, b, c); }

// As far from the nearest as the hardware's may be, one unit in the last place, in either direction.
static inline f32 approximate_reciprocal(f32 a)
{
    const f32 nearest = 1 / a;
    const u32 bits = of_f32(nearest), magnitude = bits & 0x7fffffff;
    if (nearest != nearest) return canonical_f32(nearest);
    if (magnitude < 0x00800000) return as_f32(bits & 0x80000000);
    if (magnitude == 0x7f800000) return nearest;
    return as_f32(bits + (of_f32(a) * 2654435761u >> 31 ? 1 : -1));
}

static inline f32 absolute_f32(f32 a) { return fabsf(a); }
static inline f64 absolute_f64(f64 a) { return fabs(a); }

// The number, if the other is NaN; +0 is more than -0.
#define MAX(T)                                   \
    static inline T max_##T(T a, T b)            \
    {                                            \
        if (a != a) return canonical_##T(b);     \
        if (b != b) return a;                    \
        if (a == b) return signbit(a) ? b : a;   \
        return a > b ? a : b;                    \
    }

MAX(f32)
MAX(f64)

static inline f32 from_float16(b16 bits)
{
    _Float16 half;
    memcpy(&half, &bits, sizeof half);
    return canonical_f32((f32)half);
}

static inline b16 to_float16(f32 a)
{
    const _Float16 half = (_Float16)a;
    b16 bits;
    memcpy(&bits, &half, sizeof bits);
    return a == a ? bits : 0x7fff;
}

static inline f32 from_bfloat16(b16 bits) { return as_f32((u32)bits << 16); }

static inline b16 to_bfloat16(f32 a)
{
    const u32 bits = of_f32(a);
    return a == a ? (bits + 0x7fff + (bits >> 16 & 1)) >> 16 : 0x7fff;
}

// Towards zero; what is too far goes to the end, NaN to the least.
static inline s64 to_integer(f64 a)
{
    if (a >= 0x1p63) return INT64_MAX;
    return a > -0x1p63 ? (s64)a : INT64_MIN;
}

// The same to 32 bits, where NaN becomes zero.
static inline s32 to_integer32(f32 a)
{
    if (a >= 0x1p31f) return INT32_MAX;
    return a > -0x1p31f ? (s32)a : a == a ? INT32_MIN : 0;
}

// Of a double, NaN becomes the least.
static inline s32 integer32_of_double(f64 a)
{
    if (a >= 0x1p31) return INT32_MAX;
    return a > -0x1p31 - 1 ? (s32)a : INT32_MIN;
}

// b with the low bits of a in so many places from a first one on.
static inline u64 insert_bits(u64 a, u64 b, u32 first, u32 count)
{
    const u32 begin = first & 255, end = begin + (count & 255);
    for (u32 place = begin; place < end && place < 64; place++) {
        b = (b & ~(1ull << place)) | (a >> (place - begin) & 1) << place;
    }
    return b;
}

// The bytes of a and b that the four lowest hexadecimal digits of a selector choose; a digit above 7
// stands for the sign of the byte, eight times.
static inline u32 permute_bytes(u32 a, u32 b, u32 selector)
{
    const u64 bytes = (u64)b << 32 | a;
    u32 found = 0;
    for (u32 i = 0; i < 4; i++) {
        const u32 digit = selector >> 4 * i & 15, byte = bytes >> 8 * (digit & 7) & 255;
        found |= (digit < 8 ? byte : byte >> 7 ? 255 : 0) << 8 * i;
    }
    return found;
}

// --- a launch ------------------------------------------------------------------------------------

typedef struct {
    u64 begin, end;
    u64 writable;
    u8 *loads, *stores;  // counted for each byte, up to 255; or none
} Region;

typedef struct {
    const Region* regions;  // what may be accessed; none: everything
    u64 n_regions;
    u64 address;  // the rest says what went wrong, and where
    u32 bytes, kind, line, block, thread;
    u32 dynamic;  // bytes of shared memory that the launch asks for
} Run;

enum { MISALIGNED = 1, OUTSIDE, READ_ONLY, ENDLESS, ALONE, UNUSUAL };

static __thread const Region* recent[SITES + 1];

static int __attribute__((noinline, cold)) refuse(
    Run* run, u32 kind, u64 at, u32 bytes, u32 line)
{
    run->kind = kind;
    run->address = at;
    run->bytes = bytes;
    run->line = line;
    return 0;
}

static inline int inside(const Region* region, u64 at, u32 bytes)
{
    return region && at >= region->begin && at + bytes <= region->end;
}

static const Region* __attribute__((noinline)) find(const Run* run, u64 at, u32 bytes)
{
    for (u64 i = 0; i < run->n_regions; i++) {
        if (inside(run->regions + i, at, bytes)) return run->regions + i;
    }
    return NULL;
}

static inline void count(u8* counts, u64 first, u32 bytes)
{
    for (u64 i = first; i < first + bytes; i++) {
        counts[i] += counts[i] < 255;
    }
}

static inline int allowed(Run* run, u32 site, u64 at, u32 bytes, int store, u32 line)
{
    if (at % bytes) return refuse(run, MISALIGNED, at, bytes, line);
    if (!run->regions) return 1;
    if (!inside(recent[site], at, bytes)) recent[site] = find(run, at, bytes);
    const Region* region = recent[site];
    if (!region) return refuse(run, OUTSIDE, at, bytes, line);
    if (store && !region->writable) return refuse(run, READ_ONLY, at, bytes, line);
    if (region->loads) count(store ? region->stores : region->loads, at - region->begin, bytes);
    return 1;
}

#define ACCESS(SITE, ADDRESS, BYTES, STORE, LINE) \
    const u64 at = (ADDRESS);                     \
    if (!allowed(run, SITE, at, BYTES, STORE, LINE)) return 0

#define JUMP(LABEL, LINE)                                                 \
    if (++jumps > 1 << 22) return refuse(run, ENDLESS, 0, 0, LINE); \
    goto LABEL

static int thread(Run* run, const u8* parameters, u32 tid, u32 ctaid, u32 ntid, u32 nctaid);

// --- threads that wait for each other: coroutines, each with a stack of its own -----------------

enum { MOST_THREADS = 1024, STACK = 1 << 17 };

typedef struct {
    ucontext_t context;
    u32 line;  // where it waits; 0: it is done
    u32 exchanges;
} Coroutine;

static __thread struct {
    ucontext_t scheduler;
    Run* run;
    const u8* parameters;
    u32 current, block, threads, blocks;
    int failed;
    u8* stacks;
    u8* shared;
    u32 held[2][MOST_THREADS];
    Coroutine of[MOST_THREADS];
} all;

static int __attribute__((noinline)) wait_for_all(u32 line)
{
    Coroutine* own = &all.of[all.current];
    own->line = line;
    swapcontext(&own->context, &all.scheduler);
    return 1;
}

#define WAIT(LINE) wait_for_all(LINE)

// What all threads of the block give, before anyone goes on; every second time in other places,
// so that nobody overwrites what another is still to read.
static u32* __attribute__((noinline)) exchange(u32 value, u32 line)
{
    u32* held = all.held[all.of[all.current].exchanges++ % 2];
    held[all.current] = value;
    wait_for_all(line);
    return held;
}

#define EXCHANGE(VALUE, MASK, LINE)                                        \
    if ((MASK) != 0xffffffff) return refuse(run, UNUSUAL, 0, 0, LINE);     \
    const u32* held = exchange(VALUE, LINE)

static u32 sum_of_warp(const u32* held, u32 tid)
{
    u32 sum = 0;
    for (u32 i = tid & ~31u; i <= (tid | 31); i++) sum += held[i];
    return sum;
}

static u32 bits_of_warp(const u32* held, u32 tid)
{
    u32 bits = 0;
    for (u32 i = tid & ~31u; i <= (tid | 31); i++) bits |= held[i];
    return bits;
}

static s32 least_of_warp(const u32* held, u32 tid)
{
    s32 least = (s32)held[tid];
    for (u32 i = tid & ~31u; i <= (tid | 31); i++) least = (s32)held[i] < least ? (s32)held[i] : least;
    return least;
}

static s32 most_of_warp(const u32* held, u32 tid)
{
    s32 most = (s32)held[tid];
    for (u32 i = tid & ~31u; i <= (tid | 31); i++) most = (s32)held[i] > most ? (s32)held[i] : most;
    return most;
}

// The largest number; NaN, if there is none.
static f32 max_of_warp(const u32* held, u32 tid)
{
    f32 largest = as_f32(0x7fffffff);
    for (u32 i = tid & ~31u; i <= (tid | 31); i++) largest = max_f32(largest, as_f32(held[i]));
    return largest;
}

#define ACCESS_SHARED(ADDRESS, BYTES, LINE)                                          \
    const u32 place = (ADDRESS);                                                     \
    if (place % (BYTES)) return refuse(run, MISALIGNED, place, BYTES, LINE);         \
    if ((u64)place + (BYTES) > SHARED + run->dynamic)                                \
        return refuse(run, OUTSIDE, place, BYTES, LINE);                             \
    const u64 at = (u64)(all.shared + place)

static void enter(void)
{
    const u32 own = all.current;
    if (!thread(all.run, all.parameters, own, all.block, all.threads, all.blocks)) all.failed = 1;
    all.of[own].line = 0;
}

static void resume(u32 thread)
{
    all.current = all.run->thread = thread;
    swapcontext(&all.scheduler, &all.of[thread].context);
}

// All threads up to the next barrier, and so on until they are done: all of them at once.
static int run_block(int backwards)
{
    memset(all.shared, 0xa5, SHARED + all.run->dynamic);
    for (u32 i = 0; i < all.threads; i++) {
        Coroutine* one = &all.of[i];
        one->exchanges = 0;
        getcontext(&one->context);
        one->context.uc_stack.ss_sp = all.stacks + (u64)i * STACK;
        one->context.uc_stack.ss_size = STACK;
        one->context.uc_link = &all.scheduler;
        makecontext(&one->context, enter, 0);
    }
    u32 line;
    do {
        for (u32 i = 0; i < all.threads; i++) {
            const u32 next = backwards ? all.threads - 1 - i : i;
            resume(next);
            if (all.failed) return 0;
            if (i == 0) line = all.of[next].line;
            if (all.of[next].line != line) return refuse(all.run, ALONE, 0, 0, line ? line : 1);
        }
    } while (line);
    return 1;
}

static int launch_waiting(Run* run, const u8* parameters, u32 blocks, u32 threads, int backwards)
{
    if (threads > MOST_THREADS) return refuse(run, UNUSUAL, 0, 0, 1);
    all.run = run;
    all.parameters = parameters;
    all.threads = threads;
    all.blocks = blocks;
    all.failed = 0;
    all.stacks = malloc((u64)threads * STACK);
    all.shared = aligned_alloc(16, (SHARED + run->dynamic + 31) / 16 * 16);
    int done = 1;
    for (u32 i = 0; i < blocks && done; i++) {
        all.block = run->block = backwards ? blocks - 1 - i : i;
        done = run_block(backwards);
    }
    free(all.stacks);
    free(all.shared);
    return done;
}

int launch(Run* run, const u8* parameters, u32 blocks, u32 threads, int backwards)
{
    memset(recent, 0, sizeof recent);
    if (WAITS) return launch_waiting(run, parameters, blocks, threads, backwards);
    for (u32 i = 0; i < blocks; i++) {
        for (u32 j = 0; j < threads; j++) {
            run->block = backwards ? blocks - 1 - i : i;
            run->thread = backwards ? threads - 1 - j : j;
            if (!thread(run, parameters, run->thread, run->block, threads, blocks)) return 0;
        }
    }
    return 1;
}
