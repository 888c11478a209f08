// A growing table of rows of one length whose addresses never change, so that a search neither
// copies nor touches memory it does not use.
//
// Internal to scheduler/. Not thread-safe.
#ifndef HET_SCHEDULER_ROW_TABLE_H_
#define HET_SCHEDULER_ROW_TABLE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace het::scheduler {

template <typename T>
class RowTable {
 public:
  // Rows of `length` > 0 cells, filled with `empty` when added.
  RowTable(size_t length, T empty)
      : length_(length),
        rows_per_chunk_(std::max<size_t>(1, kChunkBytes / (length * sizeof(T)))),
        empty_(empty) {}

  size_t size() const { return size_; }
  T* operator[](size_t row) {
    return chunks_[row / rows_per_chunk_].get() + row % rows_per_chunk_ * length_;
  }
  T* Add() {
    if (size_ == chunks_.size() * rows_per_chunk_) {
      chunks_.push_back(std::unique_ptr<T[]>(new T[rows_per_chunk_ * length_]));
    }
    T* row = (*this)[size_++];
    std::fill(row, row + length_, empty_);
    return row;
  }
  // Whether one more row would take more than this.
  bool WouldExceed(int64_t bytes) const {
    return static_cast<int64_t>((size_ + 1) * length_ * sizeof(T)) > bytes;
  }

 private:
  static constexpr size_t kChunkBytes = size_t{1} << 18;

  const size_t length_;
  const size_t rows_per_chunk_;
  const T empty_;
  size_t size_ = 0;
  std::vector<std::unique_ptr<T[]>> chunks_;
};

}  // namespace het::scheduler

#endif  // HET_SCHEDULER_ROW_TABLE_H_
