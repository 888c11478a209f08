// What putting one decode step on a GPU's queue costs the processor, with the kernels queued one by
// one and with the recorded step replayed (engine/step_recordings.h); and a whole step of one
// sequence, until its token is there. On the soft drivers of tests/soft_drivers it runs too, and
// says what a driver costs that copies every launch of a graph into its queue, which a real one
// does not: their names say (soft).
//
// usage: [LD_LIBRARY_PATH=build/soft_drivers] build/bench/replay [--layers N] [--json]
#include <unistd.h>

#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "base/clock.h"
#include "bench/report.h"
#include "engine/stage.h"
#include "engine/synth.h"

namespace het::bench {
namespace {

using namespace hetllm;  // NOLINT(google-build-using-namespace): what is measured

constexpr int kSteps = 200;
constexpr int kWarmUp = 5;

// The model on a whole device, as one stage.
class Runner {
 public:
  Runner(const Model& model, const api::Lease& lease, const KernelSet& kernels, bool replay)
      : limits_{.rows = 1,
                .wanted = 1,
                .slots = 1,
                .context = kSteps + kWarmUp,
                .greedy = true,
                .replay = replay},
        input_(lease.CreateBuffer(Stage::InputBytes(model, 0, limits_))),
        output_(lease.CreateBuffer(Stage::OutputBytes(model, model.layer_count(), limits_))),
        stage_(model, lease, kernels, 0, model.layer_count(), limits_),
        queue_(lease.CreateQueue()) {}

  // Microseconds: of Enqueue, and until the token is there.
  struct Times {
    double enqueue, step;
  };
  Times Step() {
    Microbatch batch;
    batch.Add(token_, position_++, 0, true);
    queue_->Write(&token_, input_.get(), 0, sizeof(token_));
    queue_->Finish();
    const int64_t begin = Clock::Real().MonotonicNanos();
    stage_.Enqueue(queue_.view(), batch, input_.get(), output_.get());
    const int64_t queued = Clock::Real().MonotonicNanos();
    queue_->Read(output_.get(), 0, &token_, sizeof(token_));
    queue_->Finish();
    const int64_t end = Clock::Real().MonotonicNanos();
    return {static_cast<double>(queued - begin) / 1e3, static_cast<double>(end - begin) / 1e3};
  }
  int32_t token() const { return token_; }

 private:
  const Limits limits_;
  const api::Buffer input_, output_;
  Stage stage_;
  const api::Queue queue_;
  int32_t token_ = 5, position_ = 0;
};

bool Measure(const api::Session& session, const het_device_info& device, const Model& model,
             Report& report) {
  const api::Lease lease =
      session.Acquire({.device = device.id, .memory_bytes = device.free_memory_bytes / 2});
  if (!lease.Can(HET_CAN_REPLAY)) {
    report.Note(std::string(device.backend) + ": " + device.name + " replays nothing");
    return false;
  }
  const KernelSet kernels(lease);
  Runner launches(model, lease, kernels, false), replays(model, lease, kernels, true);
  Samples enqueue[2], step[2];
  for (int i = -kWarmUp; i < kSteps; ++i) {
    const Runner::Times one = launches.Step(), other = replays.Step();
    if (launches.token() != replays.token()) {
      report.Note("the replayed step gave another token");
      return false;
    }
    if (i < 0) continue;
    enqueue[0].Add(one.enqueue);
    enqueue[1].Add(other.enqueue);
    step[0].Add(one.step);
    step[1].Add(other.step);
  }
  const std::string name = device.backend;
  report.Note(name + ": " + device.name);
  report.Add(Row{name + ": enqueue of a token", "launches (control)", "us", enqueue[0], 0});
  report.Add(Row{name + ": enqueue of a token", "replay", "us", enqueue[1],
                 enqueue[1].median() / enqueue[0].median()});
  report.Add(Row{name + ": token, start to end", "launches (control)", "us", step[0], 0});
  report.Add(Row{name + ": token, start to end", "replay", "us", step[1],
                 step[1].median() / step[0].median()});
  return true;
}

int Main(int argc, char** argv) {
  bool json = false;
  SynthSpec spec{.layers = 22, .embd = 64, .ff = 128, .heads = 4, .kv_heads = 2, .vocab = 320};
  CLI::App app("What putting a decode step on a GPU's queue costs, launched and replayed");
  app.add_option("--layers", spec.layers, "of the model; it is small, so that the queue is idle");
  app.add_flag("--json", json, "print JSON");
  CLI11_PARSE(app, argc, argv);
  char path[] = "/tmp/het-bench-replay-XXXXXX";
  const int file = mkstemp(path);
  if (file < 0) return 1;
  close(file);
  Report report("replay");
  bool any = false;
  try {
    WriteSynth(spec, path);
    const Model model(path);
    unlink(path);
    const api::Session session = api::Session::Open({.flags = HET_SESSION_EMBEDDED});
    for (const het_device_info& device : session.Devices()) {
      const std::string backend = device.backend;
      if ((device.flags & HET_DEVICE_USABLE) == 0 || (backend != "cuda" && backend != "hip"))
        continue;
      any = Measure(session, device, model, report) || any;
    }
    if (!any) report.Note("no usable device of cuda or hip that replays");
  } catch (const std::exception& error) {
    report.Note(error.what());
    any = false;
  }
  unlink(path);
  report.Print(json);
  return any ? 0 : 1;
}

}  // namespace
}  // namespace het::bench

int main(int argc, char** argv) { return het::bench::Main(argc, argv); }
