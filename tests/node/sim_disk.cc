#include "tests/node/sim_disk.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace het::daemon {
namespace {

constexpr int64_t kSector = 512;

}  // namespace

// What SQLite holds of an open file. Made and destroyed in memory that SQLite gives.
struct SimDisk::Handle {
  sqlite3_file base;
  SimDisk* disk;
  std::shared_ptr<File> file;

  static Handle& Of(sqlite3_file* file) { return *reinterpret_cast<Handle*>(file); }

  static int Close(sqlite3_file* file) {
    Of(file).file.reset();
    return SQLITE_OK;
  }
  static int Read(sqlite3_file* file, void* out, int size, sqlite3_int64 offset) {
    Handle& handle = Of(file);
    if (handle.disk->dead_) return SQLITE_IOERR_READ;
    const std::string& content = handle.file->content;
    const int64_t length = static_cast<int64_t>(content.size());
    const int64_t there = std::clamp<int64_t>(length - offset, 0, size);
    if (there > 0) memcpy(out, content.data() + offset, static_cast<size_t>(there));
    if (there == size) return SQLITE_OK;
    memset(static_cast<char*>(out) + there, 0, static_cast<size_t>(size - there));
    return SQLITE_IOERR_SHORT_READ;
  }
  int Make(Change change, int io_error) {
    if (const int refused = disk->Admit(io_error); refused != SQLITE_OK) return refused;
    Apply(change, file->content);
    file->unsynced.push_back(std::move(change));
    return SQLITE_OK;
  }
  static int Write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
    return Of(file).Make(
        {false, offset, std::string(static_cast<const char*>(bytes), static_cast<size_t>(size))},
        SQLITE_IOERR_WRITE);
  }
  static int Truncate(sqlite3_file* file, sqlite3_int64 size) {
    return Of(file).Make({true, size, ""}, SQLITE_IOERR_TRUNCATE);
  }
  static int Sync(sqlite3_file* file, int /*flags*/) {
    Handle& handle = Of(file);
    if (const int refused = handle.disk->Admit(SQLITE_IOERR_FSYNC); refused != SQLITE_OK) {
      return refused;
    }
    if (handle.disk->lies_) return SQLITE_OK;
    for (const Change& change : handle.file->unsynced) Apply(change, handle.file->synced);
    handle.file->unsynced.clear();
    return SQLITE_OK;
  }
  static int Size(sqlite3_file* file, sqlite3_int64* size) {
    *size = static_cast<sqlite3_int64>(Of(file).file->content.size());
    return SQLITE_OK;
  }
  // One process uses the disk at a time.
  static int Lock(sqlite3_file*, int) { return SQLITE_OK; }
  static int CheckReservedLock(sqlite3_file*, int* out) {
    *out = 0;
    return SQLITE_OK;
  }
  static int Control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
  static int SectorSize(sqlite3_file*) { return kSector; }
  static int Characteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }
};

SimDisk::SimDisk(uint64_t seed) : random_(seed) {
  static std::atomic<uint64_t> count{0};
  name_ = "het-sim-" + std::to_string(++count);
  vfs_.iVersion = 1;
  vfs_.szOsFile = sizeof(Handle);
  vfs_.mxPathname = 512;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.xOpen = Open;
  vfs_.xDelete = Delete;
  vfs_.xAccess = Access;
  vfs_.xFullPathname = FullPathname;
  vfs_.xRandomness = Randomness;
  vfs_.xSleep = [](sqlite3_vfs*, int micros) { return micros; };
  vfs_.xCurrentTime = [](sqlite3_vfs*, double* out) {
    *out = 2460000.5;
    return SQLITE_OK;
  };
  vfs_.xGetLastError = [](sqlite3_vfs*, int, char*) { return 0; };
  sqlite3_vfs_register(&vfs_, 0);
}

SimDisk::~SimDisk() { sqlite3_vfs_unregister(&vfs_); }

void SimDisk::Apply(const Change& change, std::string& content) {
  if (change.truncates) {
    content.resize(static_cast<size_t>(change.offset));
    return;
  }
  const auto offset = static_cast<size_t>(change.offset);
  if (content.size() < offset + change.bytes.size()) content.resize(offset + change.bytes.size());
  memcpy(content.data() + offset, change.bytes.data(), change.bytes.size());
}

int SimDisk::Admit(int io_error) {
  if (dead_) return io_error;
  const int64_t number = ++changes_;
  if (number >= dies_at_) {
    dead_ = true;
    return io_error;
  }
  if (fault_ == Fault::kNone || number < fails_from_ || number >= fails_to_) return SQLITE_OK;
  return fault_ == Fault::kFull && io_error != SQLITE_IOERR_FSYNC ? SQLITE_FULL : io_error;
}

void SimDisk::DieAfter(int64_t calls) {
  if (calls == 0) dead_ = true;
  dies_at_ = changes_ + calls;
}

void SimDisk::FailAfter(int64_t calls, Fault fault, int64_t count) {
  fault_ = fault;
  fails_from_ = changes_ + calls;
  fails_to_ = count == INT64_MAX ? INT64_MAX : fails_from_ + count;
}

void SimDisk::Revive(bool power_lost) {
  dead_ = false;
  dies_at_ = INT64_MAX;
  if (!power_lost) return;
  for (auto& [path, file] : files_) LosePower(*file);
}

void SimDisk::LosePower(File& file) {
  std::string content = file.synced;
  for (Change& change : file.unsynced) {
    switch (random_() % 4) {
      case 0:
        break;   // never happened
      case 1: {  // torn
        const auto sectors = static_cast<uint64_t>(change.bytes.size()) / kSector + 1;
        const size_t kept = (random_() % sectors) * kSector;
        change.bytes.resize(std::min(kept, change.bytes.size()));
        if (!change.truncates && !change.bytes.empty()) Apply(change, content);
        break;
      }
      default:
        Apply(change, content);
    }
  }
  file.unsynced.clear();
  file.content = file.synced = std::move(content);
}

std::string SimDisk::Content(const std::string& path) const {
  const auto file = files_.find(path);
  return file == files_.end() ? "" : file->second->content;
}

int SimDisk::Open(sqlite3_vfs* vfs, const char* path, sqlite3_file* file, int flags, int* out) {
  static const sqlite3_io_methods kMethods = [] {
    sqlite3_io_methods methods = {};
    methods.iVersion = 1;
    methods.xClose = Handle::Close;
    methods.xRead = Handle::Read;
    methods.xWrite = Handle::Write;
    methods.xTruncate = Handle::Truncate;
    methods.xSync = Handle::Sync;
    methods.xFileSize = Handle::Size;
    methods.xLock = Handle::Lock;
    methods.xUnlock = Handle::Lock;
    methods.xCheckReservedLock = Handle::CheckReservedLock;
    methods.xFileControl = Handle::Control;
    methods.xSectorSize = Handle::SectorSize;
    methods.xDeviceCharacteristics = Handle::Characteristics;
    return methods;
  }();
  SimDisk& disk = Of(vfs);
  file->pMethods = nullptr;
  if (disk.dead_) return SQLITE_CANTOPEN;
  const std::string name = path == nullptr ? "" : path;
  std::shared_ptr<File>* known = nullptr;
  if (!name.empty()) {
    const auto it = disk.files_.find(name);
    if (it != disk.files_.end()) known = &it->second;
  }
  if (known == nullptr && (flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
  auto* handle = new (file) Handle{{}, &disk, known == nullptr ? std::make_shared<File>() : *known};
  if (known == nullptr && !name.empty()) disk.files_[name] = handle->file;
  handle->base.pMethods = &kMethods;
  if (out != nullptr) *out = flags;
  return SQLITE_OK;
}

int SimDisk::Delete(sqlite3_vfs* vfs, const char* path, int /*sync*/) {
  SimDisk& disk = Of(vfs);
  if (!disk.files_.contains(path)) return SQLITE_IOERR_DELETE_NOENT;
  if (const int refused = disk.Admit(SQLITE_IOERR_DELETE); refused != SQLITE_OK) return refused;
  disk.files_.erase(path);
  return SQLITE_OK;
}

int SimDisk::Access(sqlite3_vfs* vfs, const char* path, int /*flags*/, int* out) {
  *out = Of(vfs).files_.contains(path) ? 1 : 0;
  return SQLITE_OK;
}

int SimDisk::FullPathname(sqlite3_vfs* /*vfs*/, const char* path, int size, char* out) {
  sqlite3_snprintf(size, out, "%s", path);
  return SQLITE_OK;
}

int SimDisk::Randomness(sqlite3_vfs* vfs, int size, char* out) {
  for (int i = 0; i < size; ++i) out[i] = static_cast<char>(Of(vfs).random_());
  return size;
}

}  // namespace het::daemon
