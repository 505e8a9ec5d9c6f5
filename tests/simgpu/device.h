// What a translated kernel stands on: PTX's types, the arithmetic that C has no operator for,
// memory as one thread sees it, and the loop over blocks and threads. SITES, the number of
// instructions that access memory, stands above this text; `thread` below.

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8, pred;
typedef uint16_t u16, b16;
typedef uint32_t u32, b32;
typedef uint64_t u64, b64;
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

TYPE(pred, u8)
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

// b with the low bits of a in so many places from a first one on.
static inline u64 insert_bits(u64 a, u64 b, u32 first, u32 count, u32 width)
{
    const u32 begin = first & 255, end = begin + (count & 255);
    for (u32 place = begin; place < end && place < width; place++) {
        b = (b & ~(1ull << place)) | (a >> (place - begin) & 1) << place;
    }
    return b;
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
} Run;

enum { MISALIGNED = 1, OUTSIDE, READ_ONLY, ENDLESS };

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

int launch(Run* run, const u8* parameters, u32 blocks, u32 threads, int backwards)
{
    memset(recent, 0, sizeof recent);
    for (u32 i = 0; i < blocks; i++) {
        for (u32 j = 0; j < threads; j++) {
            run->block = backwards ? blocks - 1 - i : i;
            run->thread = backwards ? threads - 1 - j : j;
            if (!thread(run, parameters, run->thread, run->block, threads, blocks)) return 0;
        }
    }
    return 1;
}
