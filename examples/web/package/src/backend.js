// Where pictures are computed: on the CPU, or on the GPU of a browser that has WebGPU.

/** The backend that was asked for, or the CPU where there is no other. */
export async function available(backend) {
  if (backend !== "webgpu") return "cpu";
  const adapter = await globalThis.navigator?.gpu?.requestAdapter().catch(() => null);
  return adapter ? "webgpu" : "cpu";
}
