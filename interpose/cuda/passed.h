// Passed: every entry point of the driver that the shadow only forwards, in groups with
// the reason. With hooked.h (hooked and refused) these are all functions of cuda.h and its
// companions of CUDA 13.0, and what cuGetProcAddress may give: a test compares the lists with the
// installed headers, so that a function of a later CUDA fails it until somebody decides.
#ifndef HET_INTERPOSE_CUDA_PASSED_H_
#define HET_INTERPOSE_CUDA_PASSED_H_

// clang-format off
// cuGetExportTable: a table of the driver's own that nobody documents: what is called through it is not held.
#define HET_SHADOW_PASSED_HOLE(X) \
  X(cuGetExportTable)

// Version, errors, log, profiler, core dumps: says or sets nothing of memory or launches.
#define HET_SHADOW_PASSED_DRIVER(X)                                                   \
  X(cuCoredumpGetAttribute) X(cuCoredumpGetAttributeGlobal) X(cuCoredumpSetAttribute) \
  X(cuCoredumpSetAttributeGlobal) X(cuDriverGetVersion) X(cuFlushGPUDirectRDMAWrites) \
  X(cuGetErrorName) X(cuGetErrorString) X(cuLogsCurrent) X(cuLogsDumpToFile)          \
  X(cuLogsDumpToMemory) X(cuLogsRegisterCallback) X(cuLogsUnregisterCallback)         \
  X(cuProfilerInitialize) X(cuProfilerStart) X(cuProfilerStop)

// Devices: the driver shows the slice's device alone; nothing here tells its memory.
#define HET_SHADOW_PASSED_DEVICE(X)                                                            \
  X(cuDeviceCanAccessPeer) X(cuDeviceComputeCapability) X(cuDeviceGet) X(cuDeviceGetAttribute) \
  X(cuDeviceGetByPCIBusId) X(cuDeviceGetCount) X(cuDeviceGetDefaultMemPool)                    \
  X(cuDeviceGetDevResource) X(cuDeviceGetExecAffinitySupport) X(cuDeviceGetGraphMemAttribute)  \
  X(cuDeviceGetHostAtomicCapabilities) X(cuDeviceGetLuid) X(cuDeviceGetMemPool)                \
  X(cuDeviceGetName) X(cuDeviceGetNvSciSyncAttributes) X(cuDeviceGetP2PAtomicCapabilities)     \
  X(cuDeviceGetP2PAttribute) X(cuDeviceGetPCIBusId) X(cuDeviceGetProperties)                   \
  X(cuDeviceGetTexture1DLinearMaxWidth) X(cuDeviceGetUuid) X(cuDeviceGetUuid_v2)               \
  X(cuDeviceGraphMemTrim) X(cuDevicePrimaryCtxGetState) X(cuDevicePrimaryCtxSetFlags)          \
  X(cuDevicePrimaryCtxSetFlags_v2) X(cuDeviceRegisterAsyncNotification)                        \
  X(cuDeviceSetGraphMemAttribute) X(cuDeviceSetMemPool) X(cuDeviceUnregisterAsyncNotification)

// Contexts: a context holds what is booked by itself; its own memory is not booked (docs/slices.md).
#define HET_SHADOW_PASSED_CONTEXT(X)                                                             \
  X(cuCtxCreate) X(cuCtxCreate_v2) X(cuCtxCreate_v3) X(cuCtxCreate_v4) X(cuCtxDisablePeerAccess) \
  X(cuCtxEnablePeerAccess) X(cuCtxFromGreenCtx) X(cuCtxGetApiVersion) X(cuCtxGetCacheConfig)     \
  X(cuCtxGetCurrent) X(cuCtxGetDevResource) X(cuCtxGetDevice) X(cuCtxGetDevice_v2)               \
  X(cuCtxGetExecAffinity) X(cuCtxGetFlags) X(cuCtxGetId) X(cuCtxGetLimit)                        \
  X(cuCtxGetSharedMemConfig) X(cuCtxGetStreamPriorityRange) X(cuCtxPopCurrent)                   \
  X(cuCtxPopCurrent_v2) X(cuCtxPushCurrent) X(cuCtxPushCurrent_v2) X(cuCtxRecordEvent)           \
  X(cuCtxResetPersistingL2Cache) X(cuCtxSetCacheConfig) X(cuCtxSetCurrent) X(cuCtxSetFlags)      \
  X(cuCtxSetLimit) X(cuCtxSetSharedMemConfig) X(cuCtxWaitEvent) X(cuDevResourceGenerateDesc)     \
  X(cuDevSmResourceSplitByCount) X(cuGLCtxCreate) X(cuGLCtxCreate_v2) X(cuGreenCtxCreate)        \
  X(cuGreenCtxGetDevResource) X(cuGreenCtxGetId) X(cuGreenCtxRecordEvent)                        \
  X(cuGreenCtxStreamCreate) X(cuGreenCtxWaitEvent) X(cuVDPAUCtxCreate) X(cuVDPAUCtxCreate_v2)

// Code: loading and describing code launches nothing; global variables are not booked (docs/slices.md).
#define HET_SHADOW_PASSED_CODE(X)                                                              \
  X(cuFuncGetAttribute) X(cuFuncGetModule) X(cuFuncGetName) X(cuFuncGetParamInfo)              \
  X(cuFuncIsLoaded) X(cuFuncLoad) X(cuFuncSetAttribute) X(cuFuncSetBlockShape)                 \
  X(cuFuncSetCacheConfig) X(cuFuncSetSharedMemConfig) X(cuFuncSetSharedSize)                   \
  X(cuKernelGetAttribute) X(cuKernelGetFunction) X(cuKernelGetLibrary) X(cuKernelGetName)      \
  X(cuKernelGetParamInfo) X(cuKernelSetAttribute) X(cuKernelSetCacheConfig)                    \
  X(cuLibraryEnumerateKernels) X(cuLibraryGetGlobal) X(cuLibraryGetKernel)                     \
  X(cuLibraryGetKernelCount) X(cuLibraryGetManaged) X(cuLibraryGetModule)                      \
  X(cuLibraryGetUnifiedFunction) X(cuLibraryLoadData) X(cuLibraryLoadFromFile)                 \
  X(cuLibraryUnload) X(cuLinkAddData) X(cuLinkAddData_v2) X(cuLinkAddFile) X(cuLinkAddFile_v2) \
  X(cuLinkComplete) X(cuLinkCreate) X(cuLinkCreate_v2) X(cuLinkDestroy)                        \
  X(cuModuleEnumerateFunctions) X(cuModuleGetFunction) X(cuModuleGetFunctionCount)             \
  X(cuModuleGetGlobal) X(cuModuleGetGlobal_v2) X(cuModuleGetLoadingMode) X(cuModuleGetSurfRef) \
  X(cuModuleGetTexRef) X(cuModuleLoad) X(cuModuleLoadData) X(cuModuleLoadDataEx)               \
  X(cuModuleLoadFatBinary) X(cuModuleUnload) X(cuOccupancyAvailableDynamicSMemPerBlock)        \
  X(cuOccupancyMaxActiveBlocksPerMultiprocessor)                                               \
  X(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags) X(cuOccupancyMaxActiveClusters)      \
  X(cuOccupancyMaxPotentialBlockSize) X(cuOccupancyMaxPotentialBlockSizeWithFlags)             \
  X(cuOccupancyMaxPotentialClusterSize) X(cuParamSetSize) X(cuParamSetTexRef) X(cuParamSetf)   \
  X(cuParamSeti) X(cuParamSetv) X(cuTensorMapEncodeIm2col) X(cuTensorMapEncodeIm2colWide)      \
  X(cuTensorMapEncodeTiled) X(cuTensorMapReplaceAddress)

// Copies and fills: copy engines and bandwidth are not divided; memory that is copied was booked.
#define HET_SHADOW_PASSED_COPY(X)                                                               \
  X(cuMemBatchDecompressAsync) X(cuMemBatchDecompressAsync_ptsz)                                \
  X(cuMemDiscardAndPrefetchBatchAsync) X(cuMemDiscardAndPrefetchBatchAsync_ptsz)                \
  X(cuMemDiscardBatchAsync) X(cuMemDiscardBatchAsync_ptsz) X(cuMemPrefetchAsync)                \
  X(cuMemPrefetchAsync_ptsz) X(cuMemPrefetchAsync_v2) X(cuMemPrefetchAsync_v2_ptsz)             \
  X(cuMemPrefetchBatchAsync) X(cuMemPrefetchBatchAsync_ptsz) X(cuMemcpy) X(cuMemcpy2D)          \
  X(cuMemcpy2DAsync) X(cuMemcpy2DAsync_v2) X(cuMemcpy2DAsync_v2_ptsz) X(cuMemcpy2DUnaligned)    \
  X(cuMemcpy2DUnaligned_v2) X(cuMemcpy2DUnaligned_v2_ptds) X(cuMemcpy2D_v2)                     \
  X(cuMemcpy2D_v2_ptds) X(cuMemcpy3D) X(cuMemcpy3DAsync) X(cuMemcpy3DAsync_v2)                  \
  X(cuMemcpy3DAsync_v2_ptsz) X(cuMemcpy3DBatchAsync) X(cuMemcpy3DBatchAsync_ptsz)               \
  X(cuMemcpy3DBatchAsync_v2) X(cuMemcpy3DBatchAsync_v2_ptsz) X(cuMemcpy3DPeer)                  \
  X(cuMemcpy3DPeerAsync) X(cuMemcpy3DPeerAsync_ptsz) X(cuMemcpy3DPeer_ptds) X(cuMemcpy3D_v2)    \
  X(cuMemcpy3D_v2_ptds) X(cuMemcpyAsync) X(cuMemcpyAsync_ptsz) X(cuMemcpyAtoA)                  \
  X(cuMemcpyAtoA_v2) X(cuMemcpyAtoA_v2_ptds) X(cuMemcpyAtoD) X(cuMemcpyAtoD_v2)                 \
  X(cuMemcpyAtoD_v2_ptds) X(cuMemcpyAtoH) X(cuMemcpyAtoHAsync) X(cuMemcpyAtoHAsync_v2)          \
  X(cuMemcpyAtoHAsync_v2_ptsz) X(cuMemcpyAtoH_v2) X(cuMemcpyAtoH_v2_ptds) X(cuMemcpyBatchAsync) \
  X(cuMemcpyBatchAsync_ptsz) X(cuMemcpyBatchAsync_v2) X(cuMemcpyBatchAsync_v2_ptsz)             \
  X(cuMemcpyDtoA) X(cuMemcpyDtoA_v2) X(cuMemcpyDtoA_v2_ptds) X(cuMemcpyDtoD)                    \
  X(cuMemcpyDtoDAsync) X(cuMemcpyDtoDAsync_v2) X(cuMemcpyDtoDAsync_v2_ptsz) X(cuMemcpyDtoD_v2)  \
  X(cuMemcpyDtoD_v2_ptds) X(cuMemcpyDtoH) X(cuMemcpyDtoHAsync) X(cuMemcpyDtoHAsync_v2)          \
  X(cuMemcpyDtoHAsync_v2_ptsz) X(cuMemcpyHtoA) X(cuMemcpyHtoAAsync) X(cuMemcpyHtoAAsync_v2)     \
  X(cuMemcpyHtoAAsync_v2_ptsz) X(cuMemcpyHtoA_v2) X(cuMemcpyHtoA_v2_ptds) X(cuMemcpyHtoD)       \
  X(cuMemcpyHtoDAsync) X(cuMemcpyHtoDAsync_v2) X(cuMemcpyHtoDAsync_v2_ptsz) X(cuMemcpyHtoD_v2)  \
  X(cuMemcpyHtoD_v2_ptds) X(cuMemcpyPeer) X(cuMemcpyPeerAsync) X(cuMemcpyPeerAsync_ptsz)        \
  X(cuMemcpyPeer_ptds) X(cuMemcpy_ptds) X(cuMemsetD16) X(cuMemsetD16Async)                      \
  X(cuMemsetD16Async_ptsz) X(cuMemsetD16_v2) X(cuMemsetD16_v2_ptds) X(cuMemsetD2D16)            \
  X(cuMemsetD2D16Async) X(cuMemsetD2D16Async_ptsz) X(cuMemsetD2D16_v2) X(cuMemsetD2D16_v2_ptds) \
  X(cuMemsetD2D32) X(cuMemsetD2D32Async) X(cuMemsetD2D32Async_ptsz) X(cuMemsetD2D32_v2)         \
  X(cuMemsetD2D32_v2_ptds) X(cuMemsetD2D8) X(cuMemsetD2D8Async) X(cuMemsetD2D8Async_ptsz)       \
  X(cuMemsetD2D8_v2) X(cuMemsetD2D8_v2_ptds) X(cuMemsetD32) X(cuMemsetD32Async)                 \
  X(cuMemsetD32Async_ptsz) X(cuMemsetD32_v2) X(cuMemsetD32_v2_ptds) X(cuMemsetD8)               \
  X(cuMemsetD8Async) X(cuMemsetD8Async_ptsz) X(cuMemsetD8_v2) X(cuMemsetD8_v2_ptds)

// What memory is and may: changes or tells what memory may, never how much there is.
#define HET_SHADOW_PASSED_MEMORY(X)                                                           \
  X(cuArray3DGetDescriptor) X(cuArray3DGetDescriptor_v2) X(cuArrayGetDescriptor)              \
  X(cuArrayGetDescriptor_v2) X(cuArrayGetMemoryRequirements) X(cuArrayGetPlane)               \
  X(cuArrayGetSparseProperties) X(cuIpcGetEventHandle) X(cuIpcGetMemHandle)                   \
  X(cuIpcOpenEventHandle) X(cuMemAddressFree) X(cuMemAddressReserve) X(cuMemAdvise)           \
  X(cuMemAdvise_v2) X(cuMemExportToShareableHandle) X(cuMemGetAccess) X(cuMemGetAddressRange) \
  X(cuMemGetAddressRange_v2) X(cuMemGetAllocationGranularity)                                 \
  X(cuMemGetAllocationPropertiesFromHandle) X(cuMemGetDefaultMemPool)                         \
  X(cuMemGetHandleForAddressRange) X(cuMemGetMemPool) X(cuMemHostGetDevicePointer)            \
  X(cuMemHostGetDevicePointer_v2) X(cuMemHostGetFlags) X(cuMemHostRegister)                   \
  X(cuMemHostRegister_v2) X(cuMemHostUnregister) X(cuMemPoolCreate) X(cuMemPoolDestroy)       \
  X(cuMemPoolExportPointer) X(cuMemPoolExportToShareableHandle) X(cuMemPoolGetAccess)         \
  X(cuMemPoolGetAttribute) X(cuMemPoolImportFromShareableHandle) X(cuMemPoolSetAccess)        \
  X(cuMemPoolSetAttribute) X(cuMemPoolTrimTo) X(cuMemRangeGetAttribute)                       \
  X(cuMemRangeGetAttributes) X(cuMemSetAccess) X(cuMemSetMemPool) X(cuMipmappedArrayGetLevel) \
  X(cuMipmappedArrayGetMemoryRequirements) X(cuMipmappedArrayGetSparseProperties)             \
  X(cuMulticastAddDevice) X(cuMulticastBindAddr) X(cuMulticastBindMem) X(cuMulticastCreate)   \
  X(cuMulticastGetGranularity) X(cuMulticastUnbind) X(cuPointerGetAttribute)                  \
  X(cuPointerGetAttributes) X(cuPointerSetAttribute)

// Streams and events: order, waits and the host's own work; a turn that waits is settled when it is complete.
#define HET_SHADOW_PASSED_STREAM(X)                                                             \
  X(cuEventCreate) X(cuEventCreateFromEGLSync) X(cuEventElapsedTime) X(cuEventElapsedTime_v2)   \
  X(cuLaunchHostFunc) X(cuLaunchHostFunc_ptsz) X(cuStreamAddCallback)                           \
  X(cuStreamAddCallback_ptsz) X(cuStreamAttachMemAsync) X(cuStreamAttachMemAsync_ptsz)          \
  X(cuStreamBatchMemOp) X(cuStreamBatchMemOp_ptsz) X(cuStreamBatchMemOp_v2)                     \
  X(cuStreamBatchMemOp_v2_ptsz) X(cuStreamCopyAttributes) X(cuStreamCopyAttributes_ptsz)        \
  X(cuStreamCreate) X(cuStreamCreateWithPriority) X(cuStreamGetAttribute)                       \
  X(cuStreamGetAttribute_ptsz) X(cuStreamGetCaptureInfo) X(cuStreamGetCaptureInfo_ptsz)         \
  X(cuStreamGetCaptureInfo_v2) X(cuStreamGetCaptureInfo_v2_ptsz) X(cuStreamGetCaptureInfo_v3)   \
  X(cuStreamGetCaptureInfo_v3_ptsz) X(cuStreamGetCtx) X(cuStreamGetCtx_ptsz)                    \
  X(cuStreamGetCtx_v2) X(cuStreamGetCtx_v2_ptsz) X(cuStreamGetDevice) X(cuStreamGetDevice_ptsz) \
  X(cuStreamGetFlags) X(cuStreamGetFlags_ptsz) X(cuStreamGetGreenCtx) X(cuStreamGetId)          \
  X(cuStreamGetId_ptsz) X(cuStreamGetPriority) X(cuStreamGetPriority_ptsz)                      \
  X(cuStreamIsCapturing) X(cuStreamIsCapturing_ptsz) X(cuStreamSetAttribute)                    \
  X(cuStreamSetAttribute_ptsz) X(cuStreamUpdateCaptureDependencies)                             \
  X(cuStreamUpdateCaptureDependencies_ptsz) X(cuStreamUpdateCaptureDependencies_v2)             \
  X(cuStreamUpdateCaptureDependencies_v2_ptsz) X(cuStreamWaitEvent) X(cuStreamWaitEvent_ptsz)   \
  X(cuStreamWaitValue32) X(cuStreamWaitValue32_ptsz) X(cuStreamWaitValue32_v2)                  \
  X(cuStreamWaitValue32_v2_ptsz) X(cuStreamWaitValue64) X(cuStreamWaitValue64_ptsz)             \
  X(cuStreamWaitValue64_v2) X(cuStreamWaitValue64_v2_ptsz) X(cuStreamWriteValue32)              \
  X(cuStreamWriteValue32_ptsz) X(cuStreamWriteValue32_v2) X(cuStreamWriteValue32_v2_ptsz)       \
  X(cuStreamWriteValue64) X(cuStreamWriteValue64_ptsz) X(cuStreamWriteValue64_v2)               \
  X(cuStreamWriteValue64_v2_ptsz) X(cuThreadExchangeStreamCaptureMode)

// Graphs: building a graph launches nothing: its launch does, and its memory nodes are hooked.
#define HET_SHADOW_PASSED_GRAPH(X)                                                               \
  X(cuGraphAddBatchMemOpNode) X(cuGraphAddChildGraphNode) X(cuGraphAddDependencies)              \
  X(cuGraphAddDependencies_v2) X(cuGraphAddEmptyNode) X(cuGraphAddEventRecordNode)               \
  X(cuGraphAddEventWaitNode) X(cuGraphAddExternalSemaphoresSignalNode)                           \
  X(cuGraphAddExternalSemaphoresWaitNode) X(cuGraphAddHostNode) X(cuGraphAddKernelNode)          \
  X(cuGraphAddKernelNode_v2) X(cuGraphAddMemFreeNode) X(cuGraphAddMemcpyNode)                    \
  X(cuGraphAddMemsetNode) X(cuGraphBatchMemOpNodeGetParams) X(cuGraphBatchMemOpNodeSetParams)    \
  X(cuGraphChildGraphNodeGetGraph) X(cuGraphClone) X(cuGraphConditionalHandleCreate)             \
  X(cuGraphCreate) X(cuGraphDebugDotPrint) X(cuGraphDestroy) X(cuGraphDestroyNode)               \
  X(cuGraphEventRecordNodeGetEvent) X(cuGraphEventRecordNodeSetEvent)                            \
  X(cuGraphEventWaitNodeGetEvent) X(cuGraphEventWaitNodeSetEvent)                                \
  X(cuGraphExecBatchMemOpNodeSetParams) X(cuGraphExecChildGraphNodeSetParams)                    \
  X(cuGraphExecDestroy) X(cuGraphExecEventRecordNodeSetEvent)                                    \
  X(cuGraphExecEventWaitNodeSetEvent) X(cuGraphExecExternalSemaphoresSignalNodeSetParams)        \
  X(cuGraphExecExternalSemaphoresWaitNodeSetParams) X(cuGraphExecGetFlags)                       \
  X(cuGraphExecHostNodeSetParams) X(cuGraphExecKernelNodeSetParams)                              \
  X(cuGraphExecKernelNodeSetParams_v2) X(cuGraphExecMemcpyNodeSetParams)                         \
  X(cuGraphExecMemsetNodeSetParams) X(cuGraphExecNodeSetParams) X(cuGraphExecUpdate)             \
  X(cuGraphExecUpdate_v2) X(cuGraphExternalSemaphoresSignalNodeGetParams)                        \
  X(cuGraphExternalSemaphoresSignalNodeSetParams) X(cuGraphExternalSemaphoresWaitNodeGetParams)  \
  X(cuGraphExternalSemaphoresWaitNodeSetParams) X(cuGraphGetEdges) X(cuGraphGetEdges_v2)         \
  X(cuGraphGetNodes) X(cuGraphGetRootNodes) X(cuGraphHostNodeGetParams)                          \
  X(cuGraphHostNodeSetParams) X(cuGraphInstantiate) X(cuGraphInstantiateWithFlags)               \
  X(cuGraphInstantiateWithParams) X(cuGraphInstantiateWithParams_ptsz) X(cuGraphInstantiate_v2)  \
  X(cuGraphKernelNodeCopyAttributes) X(cuGraphKernelNodeGetAttribute)                            \
  X(cuGraphKernelNodeGetParams) X(cuGraphKernelNodeGetParams_v2)                                 \
  X(cuGraphKernelNodeSetAttribute) X(cuGraphKernelNodeSetParams)                                 \
  X(cuGraphKernelNodeSetParams_v2) X(cuGraphMemAllocNodeGetParams)                               \
  X(cuGraphMemFreeNodeGetParams) X(cuGraphMemcpyNodeGetParams) X(cuGraphMemcpyNodeSetParams)     \
  X(cuGraphMemsetNodeGetParams) X(cuGraphMemsetNodeSetParams) X(cuGraphNodeFindInClone)          \
  X(cuGraphNodeGetDependencies) X(cuGraphNodeGetDependencies_v2) X(cuGraphNodeGetDependentNodes) \
  X(cuGraphNodeGetDependentNodes_v2) X(cuGraphNodeGetEnabled) X(cuGraphNodeGetType)              \
  X(cuGraphNodeSetEnabled) X(cuGraphNodeSetParams) X(cuGraphReleaseUserObject)                   \
  X(cuGraphRemoveDependencies) X(cuGraphRemoveDependencies_v2) X(cuGraphRetainUserObject)        \
  X(cuGraphUpload) X(cuGraphUpload_ptsz) X(cuUserObjectCreate) X(cuUserObjectRelease)            \
  X(cuUserObjectRetain)

// Textures and surfaces: views of memory that was booked.
#define HET_SHADOW_PASSED_TEXTURE(X)                                                            \
  X(cuSurfObjectCreate) X(cuSurfObjectDestroy) X(cuSurfObjectGetResourceDesc)                   \
  X(cuSurfRefGetArray) X(cuSurfRefSetArray) X(cuTexObjectCreate) X(cuTexObjectDestroy)          \
  X(cuTexObjectGetResourceDesc) X(cuTexObjectGetResourceViewDesc) X(cuTexObjectGetTextureDesc)  \
  X(cuTexRefCreate) X(cuTexRefDestroy) X(cuTexRefGetAddress) X(cuTexRefGetAddressMode)          \
  X(cuTexRefGetAddress_v2) X(cuTexRefGetArray) X(cuTexRefGetBorderColor)                        \
  X(cuTexRefGetFilterMode) X(cuTexRefGetFlags) X(cuTexRefGetFormat) X(cuTexRefGetMaxAnisotropy) \
  X(cuTexRefGetMipmapFilterMode) X(cuTexRefGetMipmapLevelBias) X(cuTexRefGetMipmapLevelClamp)   \
  X(cuTexRefGetMipmappedArray) X(cuTexRefSetAddress) X(cuTexRefSetAddress2D)                    \
  X(cuTexRefSetAddress2D_v2) X(cuTexRefSetAddress2D_v3) X(cuTexRefSetAddressMode)               \
  X(cuTexRefSetAddress_v2) X(cuTexRefSetArray) X(cuTexRefSetBorderColor)                        \
  X(cuTexRefSetFilterMode) X(cuTexRefSetFlags) X(cuTexRefSetFormat) X(cuTexRefSetMaxAnisotropy) \
  X(cuTexRefSetMipmapFilterMode) X(cuTexRefSetMipmapLevelBias) X(cuTexRefSetMipmapLevelClamp)   \
  X(cuTexRefSetMipmappedArray)

// Other APIs' memory and fences: made and owned by another API, which is not arbitrated.
#define HET_SHADOW_PASSED_FOREIGN(X)                                                             \
  X(cuDestroyExternalMemory) X(cuDestroyExternalSemaphore) X(cuEGLStreamConsumerAcquireFrame)    \
  X(cuEGLStreamConsumerConnect) X(cuEGLStreamConsumerConnectWithFlags)                           \
  X(cuEGLStreamConsumerDisconnect) X(cuEGLStreamConsumerReleaseFrame)                            \
  X(cuEGLStreamProducerConnect) X(cuEGLStreamProducerDisconnect)                                 \
  X(cuEGLStreamProducerPresentFrame) X(cuEGLStreamProducerReturnFrame)                           \
  X(cuExternalMemoryGetMappedBuffer) X(cuExternalMemoryGetMappedMipmappedArray)                  \
  X(cuGLGetDevices) X(cuGLGetDevices_v2) X(cuGLInit) X(cuGLMapBufferObject)                      \
  X(cuGLMapBufferObjectAsync) X(cuGLMapBufferObjectAsync_v2) X(cuGLMapBufferObjectAsync_v2_ptsz) \
  X(cuGLMapBufferObject_v2) X(cuGLMapBufferObject_v2_ptds) X(cuGLRegisterBufferObject)           \
  X(cuGLSetBufferObjectMapFlags) X(cuGLUnmapBufferObject) X(cuGLUnmapBufferObjectAsync)          \
  X(cuGLUnregisterBufferObject) X(cuGraphicsEGLRegisterImage) X(cuGraphicsGLRegisterBuffer)      \
  X(cuGraphicsGLRegisterImage) X(cuGraphicsMapResources) X(cuGraphicsMapResources_ptsz)          \
  X(cuGraphicsResourceGetMappedEglFrame) X(cuGraphicsResourceGetMappedMipmappedArray)            \
  X(cuGraphicsResourceGetMappedPointer) X(cuGraphicsResourceGetMappedPointer_v2)                 \
  X(cuGraphicsResourceSetMapFlags) X(cuGraphicsResourceSetMapFlags_v2)                           \
  X(cuGraphicsSubResourceGetMappedArray) X(cuGraphicsUnmapResources)                             \
  X(cuGraphicsUnmapResources_ptsz) X(cuGraphicsUnregisterResource)                               \
  X(cuGraphicsVDPAURegisterOutputSurface) X(cuGraphicsVDPAURegisterVideoSurface)                 \
  X(cuImportExternalMemory) X(cuImportExternalSemaphore) X(cuSignalExternalSemaphoresAsync)      \
  X(cuSignalExternalSemaphoresAsync_ptsz) X(cuVDPAUGetDevice) X(cuWaitExternalSemaphoresAsync)   \
  X(cuWaitExternalSemaphoresAsync_ptsz)

#define HET_SHADOW_PASSED(X) \
  HET_SHADOW_PASSED_HOLE(X) \
  HET_SHADOW_PASSED_DRIVER(X) \
  HET_SHADOW_PASSED_DEVICE(X) \
  HET_SHADOW_PASSED_CONTEXT(X) \
  HET_SHADOW_PASSED_CODE(X) \
  HET_SHADOW_PASSED_COPY(X) \
  HET_SHADOW_PASSED_MEMORY(X) \
  HET_SHADOW_PASSED_STREAM(X) \
  HET_SHADOW_PASSED_GRAPH(X) \
  HET_SHADOW_PASSED_TEXTURE(X) \
  HET_SHADOW_PASSED_FOREIGN(X)
// clang-format on

#endif  // HET_INTERPOSE_CUDA_PASSED_H_
