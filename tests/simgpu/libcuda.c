// A stand-in for libcuda: as much of the driver's interface as Triton's own driver.c asks for.
// Memory is the host's, streams are done at once, and kernels are launched by who called
// simgpu_connect. The device with number i is of the architecture that stands there i-th.

#include <cuda.h>
#include <stdlib.h>
#include <string.h>

typedef long (*Find)(const char* name);  // a handle, or 0
typedef int (*Launch)(long handle, unsigned blocks, unsigned threads, void** arguments);  // 1: done

static Find find;
static Launch launch;
static int archs[16], n_archs;
static __thread CUcontext current;
static __thread char message[2000];

void simgpu_connect(Find find_, Launch launch_, const int* archs_, int n)
{
    find = find_;
    launch = launch_;
    n_archs = n;
    memcpy(archs, archs_, n * sizeof *archs);
}

void simgpu_say(const char* text) { strncpy(message, text, sizeof message - 1); }

// --- devices -----------------------------------------------------------------------------------

CUresult cuInit(unsigned flags) { return CUDA_SUCCESS; }

CUresult cuDriverGetVersion(int* version)
{
    *version = CUDA_VERSION;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int* count)
{
    *count = n_archs;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice* device, int ordinal)
{
    *device = ordinal;
    return ordinal < n_archs ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

static int attribute(CUdevice_attribute name, CUdevice device)
{
    switch (name) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: return archs[device] / 10;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: return archs[device] % 10;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: return 48 << 10;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: return 99 << 10;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: return 100 << 10;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK: return 1 << 16;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: return 1;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: return 32;
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING: return 1;
    default: return 0;
    }
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute name, CUdevice device)
{
    *value = attribute(name, device);
    return CUDA_SUCCESS;
}

// --- contexts, streams, addresses ---------------------------------------------------------------

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device)
{
    *context = (CUcontext)(device + 1L);
    return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext* context)
{
    *context = current;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context)
{
    current = context;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice(CUdevice* device)
{
    *device = current ? (long)current - 1 : 0;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetLimit(size_t* value, CUlimit limit)
{
    *value = 0;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value) { return CUDA_SUCCESS; }

CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status)
{
    *status = CU_STREAM_CAPTURE_STATUS_NONE;
    return CUDA_SUCCESS;
}

CUresult cuPointerGetAttribute(void* value, CUpointer_attribute name, CUdeviceptr address)
{
    if (name != CU_POINTER_ATTRIBUTE_DEVICE_POINTER) return CUDA_ERROR_INVALID_VALUE;
    *(CUdeviceptr*)value = address;
    return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult error, const char** text)
{
    *text = *message ? message : "the simulated device does not do that";
    return CUDA_SUCCESS;
}

// NVRTC looks for a driver that makes programs better than its own do; there is none.
CUresult cuGetExportTable(const void** table, const CUuuid* id)
{
    *table = NULL;
    return CUDA_ERROR_NOT_SUPPORTED;
}

// --- kernels -------------------------------------------------------------------------------------

CUresult cuModuleLoadData(CUmodule* module, const void* image)
{
    *module = (CUmodule)image;
    return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule module) { return CUDA_SUCCESS; }

CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name)
{
    const long handle = find(name);
    *function = (CUfunction)handle;
    return handle ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute name, CUfunction function)
{
    *value = name == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK ? 1024 : 0;
    return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction f, CUfunction_attribute name, int value)
{
    return CUDA_ERROR_NOT_SUPPORTED;  // only asked for where a kernel has much shared memory
}

CUresult cuFuncSetCacheConfig(CUfunction function, CUfunc_cache config) { return CUDA_SUCCESS; }

CUresult cuLaunchKernelEx(
    const CUlaunchConfig* config, CUfunction function, void** arguments, void** extra)
{
    const unsigned of_grid = config->gridDimY * config->gridDimZ;
    const unsigned of_block = config->blockDimY * config->blockDimZ;
    if (of_grid * of_block != 1 || config->sharedMemBytes || config->numAttrs || extra) {
        simgpu_say("the simulated device knows grids of one dimension, without shared memory");
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    const int done = launch((long)function, config->gridDimX, config->blockDimX, arguments);
    return done ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_FAILED;
}
