// Partials of watched values.

// A thread's accumulators for each watched value.
template <typename Rule>
struct Seen {
    using T = typename Rule::Compute;
    static constexpr int N = Rule::N_WATCHED, FIRST_PLAIN = N - Rule::N_PLAIN;
    double sums[N + 1] = {};
    T largest[N + 1] = {};
    int others[N + 1] = {};

    __device__ void take(const T* values)
    {
#pragma unroll
        for (int i = 0; i < N; i++) {
            const T value = values[i], size = fabs(value);
            if (i >= FIRST_PLAIN) {
                sums[i] += (double)value;
                continue;
            }
            sums[i] = __fma_rn((double)value, (double)value, sums[i]);
            largest[i] = size > largest[i] ? size : largest[i];
            others[i] += value - value != 0;
        }
    }

    // Writes the partials of the block's chunk; see PARTIALS in kernels/table.py.
    __device__ void put(double* partials) const;
};

// Combines two partials: sums, except the maximum for number 1 of each three.
__device__ double together(int which, double a, double b)
{
    return which % 3 != 1 ? a + b : b > a ? b : a;
}

// Combines the numbers of all threads of a block in a fixed order, and returns number `wanted`, or
// 0 if there is none. The last N_PLAIN numbers are sums.
template <int N, int N_PLAIN = 0>
__device__ double of_block(double* numbers, int wanted = threadIdx.x)
{
    constexpr int WARPS = THREADS / 32, FIRST_PLAIN = N - N_PLAIN;
    __shared__ double parts[N][WARPS];
    const int thread = (int)threadIdx.x;
#pragma unroll
    for (int i = 0; i < N; i++) {
#pragma unroll
        for (int distance = 16; distance > 0; distance /= 2) {
            const double other = __shfl_xor_sync(~0u, numbers[i], distance);
            numbers[i] = together(i < FIRST_PLAIN ? i : 0, numbers[i], other);
        }
        if (thread % 32 == 0) {
            parts[i][thread / 32] = numbers[i];
        }
    }
    __syncthreads();
    double whole = 0;
    if (wanted < N) {
        whole = parts[wanted][0];
#pragma unroll
        for (int warp = 1; warp < WARPS; warp++) {
            whole = together(wanted < FIRST_PLAIN ? wanted : 0, whole, parts[wanted][warp]);
        }
    }
    return whole;
}

template <typename Rule>
__device__ void Seen<Rule>::put(double* partials) const
{
    constexpr int FIRST_SUM = 3 * FIRST_PLAIN, COUNT = FIRST_SUM + Rule::N_PLAIN;
    double numbers[COUNT];
#pragma unroll
    for (int i = 0; i < FIRST_PLAIN; i++) {
        numbers[3 * i] = sums[i];
        numbers[3 * i + 1] = largest[i];
        numbers[3 * i + 2] = others[i];
    }
#pragma unroll
    for (int i = FIRST_PLAIN; i < N; i++) {
        numbers[FIRST_SUM + i - FIRST_PLAIN] = sums[i];
    }
    const int thread = (int)threadIdx.x, behind = thread - FIRST_SUM;
    const int sum = behind % 3 == 0 ? FIRST_SUM + behind / 3 : COUNT;
    const double whole = of_block<COUNT, Rule::N_PLAIN>(numbers, behind < 0 ? thread : sum);
    if (thread < 3 * N) {
        partials[thread] = whole;
    }
}
