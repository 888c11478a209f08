#include "devices/cpu/native_program.h"

#include <typeinfo>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace het::cpu {

absl::StatusOr<Ref<Program>> NativeProgram::Make(const ProgramSource& source) {
  if (source.native.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "program ", source.name, " has no native functions, and this device runs no others"));
  }
  Ref<NativeProgram> program(new NativeProgram(source.name));
  for (const NativeKernel& kernel : source.native) {
    if (kernel.name.empty() || kernel.function == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("program ", source.name, ": kernel \"",
                                                     kernel.name, "\" has no ",
                                                     kernel.name.empty() ? "name" : "function"));
    }
    if (program->GetKernel(kernel.name).ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("program ", source.name, ": kernel \"", kernel.name, "\" is there twice"));
    }
    program->entries_.push_back(std::make_unique<Entry>(*program, kernel));
  }
  return Ref<Program>(program);
}

absl::StatusOr<const Kernel*> NativeProgram::GetKernel(absl::string_view name) const {
  for (const auto& entry : entries_) {
    if (entry->name() == name) return entry.get();
  }
  return absl::NotFoundError(absl::StrCat(
      "program ", name_, " has no kernel \"", name,
      "\"; there are: ", absl::StrJoin(entries_, ", ", [](std::string* out, const auto& entry) {
        absl::StrAppend(out, entry->name());
      })));
}

absl::StatusOr<const NativeProgram::Entry*> NativeProgram::EntryOf(const Kernel& kernel) {
  if (typeid(kernel) != typeid(Entry)) {
    return absl::InvalidArgumentError(
        absl::StrCat("kernel ", kernel.name(), " was built by another backend than the queue's"));
  }
  return static_cast<const Entry*>(&kernel);
}

}  // namespace het::cpu
