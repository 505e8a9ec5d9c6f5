// The driver: one launch updates every element of all tensors of a table.
//
// It is instantiated with a `Rule`, which kernels/cuda/source.py generates from the NumPy rule.
// Depends on BLOCK, CHUNK, THREADS, COEFFICIENT_THREADS, SUBTOTAL_ROWS, elements.cuh, memory.cuh
// and sums.cuh. The table is that of gpuopt/engine/table.py: addresses [n_lists, n_tensors] (a
// tensor whose gradient is at 0 is inactive), sizes [n_tensors], chunks [n_chunks, 2], coefficients
// [n_tensors, n_coefficients], partials [n_chunks, n_watched, 3].

// --- the lists of a rule -----------------------------------------------------------------------

template <typename S, bool IS_READ, bool IS_WRITTEN>
struct List {
    using Storage = S;
    static constexpr bool READ = IS_READ, WRITTEN = IS_WRITTEN;
    static constexpr bool OF_ELEMENTS = READ || WRITTEN, OF_BLOCKS = false;
    static constexpr int BYTES = (int)sizeof(typename S::Bits);
    static __device__ int64 offset(int64 element) { return element * BYTES; }
};

// The scales of the blocks of another list.
template <typename S>
struct Scales {
    using Storage = S;
    static constexpr bool READ = true, WRITTEN = false, OF_ELEMENTS = false, OF_BLOCKS = true;
    static constexpr int BYTES = (int)sizeof(typename S::Bits);
    static __device__ int64 offset(int64 element) { return element / BLOCK * BYTES; }
};

template <typename S>
using Read = List<S, true, false>;

template <typename S>
using Written = List<S, false, true>;

template <typename S>
using Updated = List<S, true, true>;

template <typename S>
using Untouched = List<S, false, false>;

template <typename... List>
struct Lists {
    static constexpr int N = sizeof...(List);

    static __device__ constexpr int narrowest()
    {
        int bytes = 16;
        ((bytes = List::OF_ELEMENTS && List::BYTES < bytes ? List::BYTES : bytes), ...);
        return bytes;
    }

    static __device__ constexpr int widest()
    {
        int bytes = 1;
        ((bytes = List::OF_ELEMENTS && List::BYTES > bytes ? List::BYTES : bytes), ...);
        return bytes;
    }

    // Elements of a thread's iteration: 16 bytes of the narrowest list, or 32 if there is only one,
    // so that enough loads are in flight. For lists of single bytes 8 bytes are enough: 16
    // elements would need too many registers.
    static __device__ constexpr int items()
    {
        int used = 0;
        ((used += List::READ || List::WRITTEN), ...);
        return (used == 1 ? 32 : 16) / (narrowest() > 1 ? narrowest() : 2);
    }

    // The address of an element in each list.
    static __device__ void locate(
        const int64* addresses, int64 n_tensors, int64 tensor, int64 element, int64* places)
    {
        int i = 0;
        ((places[i] = addresses[i * n_tensors + tensor] + List::offset(element), i++), ...);
    }

    // One iteration of a thread: all loads, then the update, then all stores.
    template <typename Rule, typename Access>
    static __device__ void update(
        const int64* places, int64 begin, int first, int end,
        const typename Rule::Compute* coefficients, Seen<Rule>& seen)
    {
        constexpr int ITEMS = Access::ITEMS;
        typename Rule::Compute values[N][ITEMS], watched[ITEMS][Rule::N_WATCHED + 1];
        int i = 0;
        ((load<List, Access>(places[i], first, end, values[i]), i++), ...);
        asm volatile("" ::: "memory");  // keeps all loads above, so that they overlap
#pragma unroll
        for (int item = 0; item < ITEMS; item++) {
            const Element element = Access::element(begin, first, item);
            Rule::update(values, item, element, watched[item], coefficients);
        }
        if constexpr (Rule::CODED) {
            Rule::template measure<Access>(places, first, end, values);
#pragma unroll
            for (int item = 0; item < ITEMS; item++) {
                const Element element = Access::element(begin, first, item);
                Rule::encode(values, item, element, coefficients);
            }
        }
        i = 0;
        ((store<List, Access>(places[i], first, end, values[i]), i++), ...);
#pragma unroll
        for (int item = 0; item < ITEMS; item++) {
            if (Access::inside(Access::place(first, item), end)) {
                seen.take(watched[item]);
            }
        }
    }

    template <typename One, typename Access, typename T>
    static __device__ void load(int64 place, int first, int end, T* values)
    {
        if constexpr (One::OF_BLOCKS) {
            Access::load_scales(place, first, end, values);
        } else if constexpr (One::READ) {
            Access::template load<typename One::Storage>(place, first, end, values);
        }
    }

    template <typename One, typename Access, typename T>
    static __device__ void store(int64 place, int first, int end, const T* values)
    {
        if constexpr (One::WRITTEN) {
            Access::template store<typename One::Storage>(place, first, end, values);
        }
    }
};

// --- the kernels -------------------------------------------------------------------------------

// Zeroes the gradients of a skipped step, for updates that write them.
template <typename Gradient>
__device__ void clear(int64 address, int64 begin, int64 left)
{
    using Bits = typename Gradient::Storage::Bits;
    Bits* const to = in_global_memory<Bits>(address + begin * Gradient::BYTES);
    const int end = left < CHUNK ? (int)left : CHUNK;
#pragma unroll 1
    for (int at = (int)threadIdx.x; at < end; at += THREADS) {
        to[at] = 0;
    }
}

// A thread updates its share of the elements before `end`.
template <typename Rule, typename Access>
__device__ void walk(
    const int64* places, int64 begin, int end, const typename Rule::Compute* coefficients,
    Seen<Rule>& seen)
{
#pragma unroll 1
    for (int first = 0; first < end; first += THREADS * Access::ITEMS) {
        const int at = Access::start(first, (int)threadIdx.x);
        Rule::Lists::template update<Rule, Access>(places, begin, at, end, coefficients, seen);
    }
}

// A block updates one chunk of one tensor.
template <typename Rule, bool VECTORS>
__device__ void walk_chunk(
    const int64* addresses, const int64* sizes, const int* chunks,
    const typename Rule::Compute* coefficients, const float* skip, double* partials,
    int64 n_tensors)
{
    using Lists = typename Rule::Lists;
    constexpr int WATCHED = 3 * Rule::N_WATCHED;  // numbers
    constexpr int SCALARS = 4;  // several loads in flight
    const int64 tensor = chunks[2 * (int64)blockIdx.x];
    const int64 begin = (int64)chunks[2 * (int64)blockIdx.x + 1] * CHUNK;
    const int64 left = sizes[tensor] - begin;
    const int64 gradient = addresses[n_tensors + tensor];
    const int thread = (int)threadIdx.x;
    partials += (int64)blockIdx.x * WATCHED;
    if (gradient == 0 || *skip != 0) {
        if constexpr (Rule::Gradient::WRITTEN) {
            if (gradient != 0) {
                clear<typename Rule::Gradient>(gradient, begin, left);
            }
        }
        if constexpr (WATCHED > 0) {
            if (gradient == 0 && thread < WATCHED) {
                partials[thread] = 0;
            }
        }
        return;
    }
    typename Rule::Compute own[Rule::N_COEFFICIENTS + 1];
#pragma unroll
    for (int i = 0; i < Rule::N_COEFFICIENTS; i++) {
        own[i] = coefficients[tensor * Rule::N_COEFFICIENTS + i];
    }
    int64 places[Lists::N];
    Lists::locate(addresses, n_tensors, tensor, begin, places);
    Seen<Rule> seen;
    if (left < CHUNK) {
        walk<Rule, Scalars<SCALARS, true>>(places, begin, (int)left, own, seen);
    } else if constexpr (VECTORS) {
        constexpr int RUN = 16 / Lists::widest();
        walk<Rule, Vectors<Rule::CODED ? RUN : Lists::items(), RUN>>(
            places, begin, CHUNK, own, seen);
    } else {
        walk<Rule, Scalars<SCALARS, false>>(places, begin, CHUNK, own, seen);
    }
    if constexpr (WATCHED > 0) {
        seen.put(partials);
    }
}

// Each thread increments the step of a tensor if it has a gradient, and computes its coefficients
// and carried numbers.
template <typename Rule>
__device__ void compute_coefficients(
    const int64* addresses, int64* steps, double* carried, const int64* groups,
    const double* options, typename Rule::Compute* coefficients, const float* skip,
    int64 n_tensors)
{
    const int64 tensor = (int64)blockIdx.x * COEFFICIENT_THREADS + threadIdx.x;
    if (tensor >= n_tensors) {
        return;
    }
    const bool active = addresses[n_tensors + tensor] != 0 && *skip == 0;
    const int64 step = steps[tensor] + active;
    steps[tensor] = step;
    double* const own = carried + tensor * Rule::N_CARRIED;
    double results[Rule::N_COEFFICIENTS + 1], next[Rule::N_CARRIED + 1];
    Rule::coefficients(
        (double)step, own, options + groups[tensor] * Rule::N_OPTIONS, results, next);
#pragma unroll
    for (int i = 0; i < Rule::N_COEFFICIENTS; i++) {
        coefficients[tensor * Rule::N_COEFFICIENTS + i] = (typename Rule::Compute)results[i];
    }
#pragma unroll
    for (int i = 0; i < Rule::N_CARRIED; i++) {
        if (active) {
            own[i] = next[i];
        }
    }
}

// The block adds rows of partials, in an order that depends only on their number. Thread i gets
// number i.
__device__ double add_rows(const double* partials, int64 n_rows)
{
    double numbers[3] = {};
    for (int64 row = threadIdx.x; row < n_rows; row += THREADS) {
#pragma unroll
        for (int i = 0; i < 3; i++) {
            numbers[i] = together(i, numbers[i], partials[3 * row + i]);
        }
    }
    return of_block<3>(numbers);
}

// Each block reduces SUBTOTAL_ROWS rows of partials to one, which `add_up` then adds.
__device__ void add_subtotals(const double* partials, double* subtotals, int64 n_rows)
{
    const int64 block = blockIdx.x, begin = block * SUBTOTAL_ROWS, left = n_rows - begin;
    const double whole =
        add_rows(partials + 3 * begin, left < SUBTOTAL_ROWS ? left : SUBTOTAL_ROWS);
    if (threadIdx.x < 3) {
        subtotals[3 * block + threadIdx.x] = whole;
    }
}

// Each block adds the sums of one tensor's chunks, in a fixed order. They become the last of the
// tensor's carried numbers. A chunk has a row of `length` numbers; its sums are `step` numbers
// apart, and the last one is `step` before the end.
__device__ void add_sums(
    const double* partials, const int64* firsts, double* carried, int64 n_sums, int64 n_carried,
    int64 length, int64 step)
{
    const int64 tensor = blockIdx.x, end = firsts[tensor + 1];
    double* const own = carried + (tensor + 1) * n_carried - n_sums;
    partials += length - step * n_sums;
    for (int64 i = 0; i < n_sums; i++) {
        double numbers[1] = {};
        for (int64 row = firsts[tensor] + threadIdx.x; row < end; row += THREADS) {
            numbers[0] += partials[row * length + step * i];
        }
        const double whole = of_block<1>(numbers);
        if (threadIdx.x == 0) {
            own[i] = whole;
        }
        __syncthreads();
    }
}

// One block adds the partials of a table, or their subtotals, to a total, in a fixed order. Bits of
// `how`: 0, overwrite the total; 1, write to `skip` whether to skip the step, and count skipped
// steps; 2, skip it if a gradient is not finite, not only if `given` says so.
__device__ void add_up(
    const double* partials, const float* given, double* total, float* skip, int64* skipped,
    int64 n_rows, int64 how)
{
    const int thread = (int)threadIdx.x;
    double whole = add_rows(partials, n_rows);
    if (thread < 3) {
        if ((how & 1) == 0) {
            whole = together(thread, total[thread], whole);
        }
        total[thread] = whole;
    }
    if (thread == 2 && (how & 2) != 0) {
        const bool skips = *given != 0 || ((how & 4) != 0 && whole != 0);
        *skip = (float)skips;
        *skipped += skips;
    }
}
