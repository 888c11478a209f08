// Vendors: what each vendor's devices need on this node, and how to get what is missing. Looked at
// by names and ids only: hetctl loads no driver.
#ifndef HET_TOOLS_HETCTL_VENDORS_H_
#define HET_TOOLS_HETCTL_VENDORS_H_

#include <string>
#include <vector>

namespace het::hetctl {

// One thing that was looked at.
struct Finding {
  enum class Verdict { kOk, kProblem, kAbsent };  // kAbsent: nothing of the kind is on this node
  Verdict verdict = Verdict::kOk;
  std::string what;
  std::string advice;  // what to do; may be empty
};

// A line per vendor that is not there, and a line per thing for those whose hardware or driver is.
// `root`: in front of /sys, /dev, /usr and /opt.
std::vector<Finding> CheckVendors(const std::string& root = "");

// The path of a shared library of one of these names: in $LD_LIBRARY_PATH (which counts for no
// other root), where Debian and the vendors put them, or in a folder of ld.so.conf.d. Empty: it is
// in none. `except`: a folder that does not count.
std::string FindLibrary(const std::vector<std::string>& names, const std::string& root = "",
                        const std::string& except = "");

}  // namespace het::hetctl

#endif  // HET_TOOLS_HETCTL_VENDORS_H_
