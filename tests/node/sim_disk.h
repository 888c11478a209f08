// SimDisk: a disk in memory as a SQLite VFS. It keeps apart what was written and what was synced,
// so that power can be lost: then each unsynced write is there, is torn at a sector, or never
// happened, each on its own. It also dies with its process after a given number of calls, fails
// with EIO or ENOSPC, and can lie about syncs (to see that a checker notices).
//
// Ownership: unregisters itself; stores on it must be gone before. Threads: one.
#ifndef HET_TESTS_NODE_SIM_DISK_H_
#define HET_TESTS_NODE_SIM_DISK_H_

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace het::daemon {

class SimDisk {
 public:
  enum class Fault { kNone, kIo, kFull };

  explicit SimDisk(uint64_t seed);
  ~SimDisk();
  SimDisk(const SimDisk&) = delete;

  // For Store::Open.
  const char* vfs() const { return name_.c_str(); }

  // The process that uses the disk ends in the middle of its `calls`th change from now, or now (0).
  // From then on nothing it does has an effect.
  void DieAfter(int64_t calls);
  bool dead() const { return dead_; }
  // Another process may use it. `power_lost`: what was not synced is in doubt.
  void Revive(bool power_lost);

  // From the `calls`th change on, for as many as `count`, until Heal.
  void FailAfter(int64_t calls, Fault fault, int64_t count = INT64_MAX);
  void Heal() { fault_ = Fault::kNone; }
  // Changes (writes, syncs, truncations, deletions) up to now.
  int64_t changes() const { return changes_; }

  void LieAboutSyncs() { lies_ = true; }
  // Bytes of the file as a reader sees them now; empty when it is not there.
  std::string Content(const std::string& path) const;

 private:
  struct Change {
    bool truncates = false;
    int64_t offset = 0;  // or the new size
    std::string bytes;
  };
  struct File {
    std::string content;
    std::string synced;
    std::vector<Change> unsynced;
  };
  struct Handle;
  friend struct Handle;

  static void Apply(const Change& change, std::string& content);
  // What a change of the disk is answered with; SQLITE_OK: it takes place.
  int Admit(int io_error);
  void LosePower(File& file);

  static SimDisk& Of(sqlite3_vfs* vfs) { return *static_cast<SimDisk*>(vfs->pAppData); }
  static int Open(sqlite3_vfs* vfs, const char* path, sqlite3_file* file, int flags, int* out);
  static int Delete(sqlite3_vfs* vfs, const char* path, int sync);
  static int Access(sqlite3_vfs* vfs, const char* path, int flags, int* out);
  static int FullPathname(sqlite3_vfs* vfs, const char* path, int size, char* out);
  static int Randomness(sqlite3_vfs* vfs, int size, char* out);

  std::string name_;
  sqlite3_vfs vfs_ = {};
  std::mt19937_64 random_;
  std::map<std::string, std::shared_ptr<File>> files_;
  int64_t changes_ = 0;
  int64_t dies_at_ = INT64_MAX;
  bool dead_ = false;
  bool lies_ = false;
  Fault fault_ = Fault::kNone;
  int64_t fails_from_ = 0;
  int64_t fails_to_ = 0;
};

}  // namespace het::daemon

#endif  // HET_TESTS_NODE_SIM_DISK_H_
