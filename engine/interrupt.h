// Interrupt: Ctrl-C (SIGINT) and SIGTERM as a flag that long work looks at. A second signal ends
// the process at once.
//
// Thread-safe.
#ifndef HET_ENGINE_INTERRUPT_H_
#define HET_ENGINE_INTERRUPT_H_

namespace hetllm {

void CatchInterrupts();
bool Interrupted();
// Throws Error (exit 130) when interrupted.
void ThrowIfInterrupted();

}  // namespace hetllm

#endif  // HET_ENGINE_INTERRUPT_H_
