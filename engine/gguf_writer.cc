#include "engine/gguf_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "engine/error.h"
#include "engine/weight_type.h"

namespace hetllm {
namespace {

constexpr uint64_t kAlignment = 32;

uint64_t Padded(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

void Append(std::vector<std::byte>& out, std::span<const std::byte> raw) {
  out.insert(out.end(), raw.begin(), raw.end());
}

template <typename T>
void Put(std::vector<std::byte>& out, T value) {
  Append(out, std::as_bytes(std::span(&value, 1)));
}

void PutString(std::vector<std::byte>& out, std::string_view text) {
  Put<uint64_t>(out, text.size());
  Append(out, std::as_bytes(std::span(text)));
}

// The file under its temporary name; removed unless it was kept.
class PartFile {
 public:
  explicit PartFile(const std::string& path) : path_(path), part_(path + ".part") {
    fd_ = open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd_ < 0) {
      const Exit exit = errno == EACCES ? Exit::kDenied : Exit::kError;
      throw Error(Cat("cannot write '", part_, "': ", std::strerror(errno)), exit);
    }
  }
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;
  ~PartFile() {
    if (fd_ >= 0) {
      close(fd_);
      unlink(part_.c_str());
    }
  }

  // Takes the space now where the file system can, so that a full disk is known before the work.
  void Reserve(uint64_t bytes) {
    if (fallocate(fd_, 0, 0, static_cast<off_t>(bytes)) != 0 && errno == ENOSPC) {
      Fail("reserve", bytes);
    }
  }

  void Write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
      if (n < 0) {
        if (errno == EINTR) {
          continue;
        }
        Fail("write", written_ + bytes.size());
      }
      bytes = bytes.subspan(static_cast<size_t>(n));
      written_ += static_cast<uint64_t>(n);
    }
  }

  uint64_t written() const { return written_; }

  void Keep() {
    const int fd = std::exchange(fd_, -1);
    if (close(fd) != 0 || rename(part_.c_str(), path_.c_str()) != 0) {
      const int error = errno;
      unlink(part_.c_str());
      throw Error(Cat("cannot finish '", path_, "': ", std::strerror(error)));
    }
  }

 private:
  [[noreturn]] void Fail(const char* what, uint64_t bytes) {
    throw Error(Cat("cannot ", what, " ", FormatBytes(bytes), " for '", path_,
                    "': ", std::strerror(errno), ". Nothing was left behind"));
  }

  const std::string path_;
  const std::string part_;
  int fd_ = -1;
  uint64_t written_ = 0;
};

}  // namespace

void GgufWriter::Key(std::string_view key, GgufType type) {
  PutString(metadata_, key);
  Put(metadata_, static_cast<uint32_t>(type));
  ++metadata_count_;
}

void GgufWriter::SetUint32(std::string_view key, uint32_t value) {
  Key(key, GgufType::kUint32);
  Put(metadata_, value);
}

void GgufWriter::SetFloat(std::string_view key, float value) {
  Key(key, GgufType::kFloat32);
  Put(metadata_, value);
}

void GgufWriter::SetBool(std::string_view key, bool value) {
  Key(key, GgufType::kBool);
  Put<uint8_t>(metadata_, value ? 1 : 0);
}

void GgufWriter::SetString(std::string_view key, std::string_view value) {
  Key(key, GgufType::kString);
  PutString(metadata_, value);
}

void GgufWriter::SetStrings(std::string_view key, std::span<const std::string> values) {
  Key(key, GgufType::kArray);
  Put(metadata_, static_cast<uint32_t>(GgufType::kString));
  Put<uint64_t>(metadata_, values.size());
  for (const std::string& value : values) {
    PutString(metadata_, value);
  }
}

void GgufWriter::SetFloats(std::string_view key, std::span<const float> values) {
  Key(key, GgufType::kArray);
  Put(metadata_, static_cast<uint32_t>(GgufType::kFloat32));
  Put<uint64_t>(metadata_, values.size());
  Append(metadata_, std::as_bytes(values));
}

void GgufWriter::SetInts(std::string_view key, std::span<const int32_t> values) {
  Key(key, GgufType::kArray);
  Put(metadata_, static_cast<uint32_t>(GgufType::kInt32));
  Put<uint64_t>(metadata_, values.size());
  Append(metadata_, std::as_bytes(values));
}

void GgufWriter::AddTensor(std::string_view name, WeightType type, std::span<const uint64_t> ne) {
  uint64_t elements = 1;
  for (const uint64_t extent : ne) {
    elements *= extent;
  }
  if (ne.empty() || ne.size() > 4 || elements == 0 || ne[0] % BlockElements(type) != 0) {
    throw Error(Cat("tensor '", name, "' cannot be stored as ", WeightTypeName(type), ": rows of ",
                    ne.empty() ? 0 : ne[0], " elements, a multiple of ", BlockElements(type),
                    " is needed"));
  }
  PutString(infos_, name);
  Put(infos_, static_cast<uint32_t>(ne.size()));
  for (const uint64_t extent : ne) {
    Put(infos_, extent);
  }
  Put(infos_, static_cast<uint32_t>(type));
  Put(infos_, data_bytes_);
  tensor_bytes_.push_back(elements / BlockElements(type) * BlockBytes(type));
  data_bytes_ += Padded(tensor_bytes_.back());
}

std::vector<std::byte> GgufWriter::Header() const {
  std::vector<std::byte> head;
  Append(head, std::as_bytes(std::span("GGUF", 4)));
  Put<uint32_t>(head, 3);
  Put<uint64_t>(head, tensor_bytes_.size());
  Put<uint64_t>(head, metadata_count_);
  Append(head, metadata_);
  Append(head, infos_);
  head.resize(Padded(head.size()));
  return head;
}

uint64_t GgufWriter::FileBytes() const { return Header().size() + data_bytes_; }

void GgufWriter::Write(const std::string& path, const Fill& fill,
                       const std::function<void(uint64_t done)>& progress) const {
  PartFile file(path);
  const std::vector<std::byte> head = Header();
  file.Reserve(head.size() + data_bytes_);
  file.Write(head);
  std::vector<std::byte> piece;
  for (size_t i = 0; i < tensor_bytes_.size(); ++i) {
    for (uint64_t offset = 0; offset < tensor_bytes_[i]; offset += kPieceBytes) {
      const uint64_t size = std::min(kPieceBytes, tensor_bytes_[i] - offset);
      piece.resize(size);
      fill(i, offset, piece);
      file.Write(piece);
      if (progress) {
        progress(file.written());
      }
    }
    const std::byte padding[kAlignment] = {};
    file.Write(std::span(padding, Padded(tensor_bytes_[i]) - tensor_bytes_[i]));
  }
  file.Keep();
}

}  // namespace hetllm
