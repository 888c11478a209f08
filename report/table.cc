#include "report/table.h"

#include <sha256.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "report/timestamp.h"

namespace het::report {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr int kSchemaVersion = 1;
constexpr uint64_t kKibPerGib = uint64_t{1} << 20;

// What FOCUS counts in one line of a row.
enum class Meter { kNone, kCompute, kMemory };

struct Context {
  const Report& report;
  const Device& device;
  const Row& row;
  Meter meter = Meter::kNone;
  // The same for many rows in a run.
  const std::string& start;
  const std::string& end;
  const std::string& month;
  const std::string& next_month;
};

// A field is a text, a number, or not there.
enum class Kind { kText, kNumber };
using Append = void (*)(const Context&, std::string&);
struct Column {
  const char* name;
  Kind kind;
  Append append;  // nothing: the field is empty
};

// value / scale with so many decimals, rounded to the nearest, halves up.
void Fixed(std::string& out, Wide value, Wide scale, int decimals) {
  Wide power = 1;
  for (int i = 0; i < decimals; ++i) power *= 10;
  const Wide scaled = (value * power + scale / 2) / scale;
  absl::StrAppend(&out, static_cast<uint64_t>(scaled / power));
  if (decimals == 0) return;
  std::string fraction = absl::StrCat(static_cast<uint64_t>(scaled % power));
  out += '.';
  out.append(static_cast<size_t>(decimals) - fraction.size(), '0');
  out += fraction;
}

void MaybeFixed(std::string& out, int64_t value, uint64_t scale, int decimals) {
  if (value >= 0) Fixed(out, static_cast<uint64_t>(value), scale, decimals);
}

// What a row holds of a device, as quantities.
void DeviceHours(const Context& c, std::string& out) {
  Fixed(out, Wide{c.row.compute_share} * static_cast<uint64_t>(c.row.covered_ms),
        Wide{kWhole} * kHourMs, 9);
}
void GibHours(const Context& c, std::string& out) {
  // In two steps, so that a machine of many TiB stays below 2^127.
  const Wide kib_ms = Wide{c.row.memory_share} * c.device.memory_kib / 1'000'000 *
                      static_cast<uint64_t>(c.row.covered_ms);
  Fixed(out, kib_ms, Wide{kWhole / 1'000'000} * kKibPerGib * kHourMs, 6);
}
void Quantity(const Context& c, std::string& out) {
  c.meter == Meter::kMemory ? GibHours(c, out) : DeviceHours(c, out);
}

absl::string_view MeterName(const Context& c) {
  return c.meter == Meter::kMemory ? "Memory" : "Compute";
}

// What both formats tell, once: the columns that FOCUS has no name for. Their names here are het's;
// FOCUS has them with x_ and a capital.
const Column kMeasures[] = {
    {"memoryLimitGiB", Kind::kNumber,
     [](const Context& c, std::string& out) {
       MaybeFixed(out, c.row.memory_limit_kib, kKibPerGib, 6);
     }},
    {"memoryUsedAvgGiB", Kind::kNumber,
     [](const Context& c, std::string& out) {
       MaybeFixed(out, c.row.memory_used_kib, kKibPerGib, 6);
     }},
    {"memoryUsedMaxGiB", Kind::kNumber,
     [](const Context& c, std::string& out) {
       MaybeFixed(out, c.row.memory_used_max_kib, kKibPerGib, 6);
     }},
    {"computeLimit", Kind::kNumber,
     [](const Context& c, std::string& out) {
       MaybeFixed(out, c.row.compute_limit, 1'000'000, 6);
     }},
    {"computeUsedAvg", Kind::kNumber,
     [](const Context& c, std::string& out) { MaybeFixed(out, c.row.compute_used, 1'000'000, 6); }},
    {"computeUsedP95", Kind::kNumber,
     [](const Context& c, std::string& out) {
       MaybeFixed(out, c.row.compute_used_p95, 1'000'000, 6);
     }},
    {"energyWh", Kind::kNumber,
     [](const Context& c, std::string& out) { MaybeFixed(out, c.row.energy_mwh, 1000, 3); }},
    {"queueWaitSeconds", Kind::kNumber,
     [](const Context& c, std::string& out) { MaybeFixed(out, c.row.queue_wait_ms, 1000, 3); }},
    {"deniedRequests", Kind::kNumber,
     [](const Context& c, std::string& out) { MaybeFixed(out, c.row.denied_requests, 1, 0); }},
    {"largestFreeGiB", Kind::kNumber,
     [](const Context& c, std::string& out) {
       MaybeFixed(out, c.row.largest_free_kib, kKibPerGib, 6);
     }},
    {"sampleCoverage", Kind::kNumber,
     [](const Context& c, std::string& out) {
       Fixed(out, static_cast<uint64_t>(c.row.covered_ms), kHourMs, 6);
     }},
};
const Column kShares[] = {
    {"memoryShare", Kind::kNumber,
     [](const Context& c, std::string& out) { Fixed(out, c.row.memory_share, kWhole, 12); }},
    {"computeShare", Kind::kNumber,
     [](const Context& c, std::string& out) { Fixed(out, c.row.compute_share, kWhole, 12); }},
};

void Start(const Context& c, std::string& out) { out += c.start; }
void End(const Context& c, std::string& out) { out += c.end; }
void Node(const Context& c, std::string& out) { out += c.report.node; }
void DeviceId(const Context& c, std::string& out) { out += c.device.id; }
void DeviceName(const Context& c, std::string& out) {
  out += c.device.name;
  // Nothing simulated is shown without the word.
  if (c.device.simulated && !absl::StrContains(absl::AsciiStrToLower(c.device.name), "simulated")) {
    out += " (simulated)";
  }
}
void Vendor(const Context& c, std::string& out) { out += c.device.vendor; }
void DeviceKind(const Context& c, std::string& out) { out += c.device.kind; }
void Partition(const Context& c, std::string& out) { out += c.device.partition_mode; }
void StateText(const Context& c, std::string& out) {
  absl::StrAppend(&out, StateName(c.row.state));
}
void Tenant(const Context& c, std::string& out) { out += c.row.tenant; }
void Owner(const Context& c, std::string& out) {
  if (c.row.owner >= 0) absl::StrAppend(&out, c.row.owner);
}
void Job(const Context& c, std::string& out) { out += c.row.job; }
void LeaseId(const Context& c, std::string& out) { out += c.row.lease; }

std::vector<Column> NativeColumns() {
  std::vector<Column> columns = {{"periodStart", Kind::kText, Start},
                                 {"periodEnd", Kind::kText, End},
                                 {"node", Kind::kText, Node},
                                 {"deviceId", Kind::kText, DeviceId},
                                 {"deviceName", Kind::kText, DeviceName},
                                 {"vendor", Kind::kText, Vendor},
                                 {"deviceKind", Kind::kText, DeviceKind},
                                 {"partitionMode", Kind::kText, Partition},
                                 {"state", Kind::kText, StateText},
                                 {"tenant", Kind::kText, Tenant},
                                 {"owner", Kind::kNumber, Owner},
                                 {"jobId", Kind::kText, Job},
                                 {"leaseId", Kind::kText, LeaseId}};
  columns.insert(columns.end(), std::begin(kShares), std::end(kShares));
  columns.push_back({"deviceHours", Kind::kNumber, DeviceHours});
  columns.push_back({"memoryGiBHours", Kind::kNumber, GibHours});
  columns.insert(columns.end(), std::begin(kMeasures), std::end(kMeasures));
  return columns;
}

bool IsHeld(const Context& c) {
  return c.row.state == State::kUsed || c.row.state == State::kHeldIdle;
}

std::vector<Column> FocusColumns() {
  constexpr Kind kText = Kind::kText;
  std::vector<Column> columns = {
      {"BillingPeriodStart", kText, [](const Context& c, std::string& out) { out += c.month; }},
      {"BillingPeriodEnd", kText, [](const Context& c, std::string& out) { out += c.next_month; }},
      {"ChargePeriodStart", kText, Start},
      {"ChargePeriodEnd", kText, End},
      {"ChargeCategory", kText, [](const Context&, std::string& out) { out += "Usage"; }},
      {"ChargeDescription", kText,
       [](const Context& c, std::string& out) {
         absl::StrAppend(&out, MeterName(c), " of ", c.device.name, ", ", StateName(c.row.state));
       }},
      {"ConsumedQuantity", Kind::kNumber, Quantity},
      {"ConsumedUnit", kText,
       [](const Context& c, std::string& out) {
         out += c.meter == Meter::kMemory ? "GiB-Hours" : "GPU-Hours";
       }},
      {"PricingQuantity", Kind::kNumber, Quantity},
      {"PricingUnit", kText,
       [](const Context& c, std::string& out) {
         out += c.meter == Meter::kMemory ? "GiB-Hours" : "GPU-Hours";
       }},
      {"ServiceCategory", kText, [](const Context&, std::string& out) { out += "Compute"; }},
      {"ServiceSubcategory", kText,
       [](const Context&, std::string& out) { out += "Other (Compute)"; }},
      {"ServiceName", kText, [](const Context&, std::string& out) { out += "het"; }},
      {"SkuId", kText,
       [](const Context& c, std::string& out) {
         absl::StrAppend(&out, c.device.vendor, "/", c.device.name, "/", MeterName(c));
       }},
      {"SkuMeter", kText,
       [](const Context& c, std::string& out) { absl::StrAppend(&out, MeterName(c)); }},
      {"SkuPriceDetails", kText,
       [](const Context& c, std::string& out) {
         out += PrintJson(Json{{"x_Kind", c.device.kind}, {"x_MemoryKiB", c.device.memory_kib}});
       }},
      {"ResourceId", kText, DeviceId},
      {"ResourceName", kText, DeviceName},
      {"ResourceType", kText, DeviceKind},
      {"SubAccountId", kText, Tenant},
      {"SubAccountName", kText, Tenant},
      {"CapacityReservationId", kText,
       [](const Context& c, std::string& out) {
         if (c.row.state == State::kReserved) absl::StrAppend(&out, c.device.id, "/reserved");
       }},
      {"CapacityReservationStatus", kText,
       [](const Context& c, std::string& out) {
         if (c.row.state == State::kReserved) out += "Unused";
       }},
      {"Tags", kText, [](const Context&, std::string& out) { out += "{}"; }},
      {"AllocatedMethodId", kText,
       [](const Context& c, std::string& out) {
         if (IsHeld(c)) out += "het-sampled-1s";
       }},
      {"AllocatedMethodDetails", kText,
       [](const Context& c, std::string& out) {
         if (IsHeld(c)) out += R"({"method":"usage and quotas of leases, sampled each second"})";
       }},
      {"AllocatedResourceId", kText, LeaseId},
      {"AllocatedTags", kText,
       [](const Context& c, std::string& out) {
         if (IsHeld(c)) out += "{}";
       }},
      {"x_Node", kText, Node},
      {"x_Vendor", kText, Vendor},
      {"x_Model", kText, [](const Context& c, std::string& out) { out += c.device.name; }},
      {"x_PartitionMode", kText, Partition},
      {"x_State", kText, StateText},
      {"x_Owner", Kind::kNumber, Owner},
      {"x_JobId", kText, Job},
  };
  static constexpr const char* kShareNames[] = {"x_MemoryShare", "x_ComputeShare"};
  static constexpr const char* kMeasureNames[] = {
      "x_MemLimitGiB",    "x_MemUsedAvgGiB",  "x_MemUsedMaxGiB", "x_ComputeLimit",
      "x_ComputeUsedAvg", "x_ComputeUsedP95", "x_EnergyWh",      "x_QueueWaitSeconds",
      "x_DeniedRequests", "x_LargestFreeGiB", "x_SampleCoverage"};
  static_assert(std::size(kMeasureNames) == std::size(kMeasures));
  for (size_t i = 0; i < std::size(kShares); ++i) {
    columns.push_back({kShareNames[i], Kind::kNumber, kShares[i].append});
  }
  for (size_t i = 0; i < std::size(kMeasures); ++i) {
    columns.push_back({kMeasureNames[i], Kind::kNumber, kMeasures[i].append});
  }
  return columns;
}

std::vector<Column> ColumnsOf(Format format) {
  return format == Format::kNative ? NativeColumns() : FocusColumns();
}

void AppendCsv(std::string& out, const std::string& field) {
  if (field.find_first_of("\",\r\n") == std::string::npos) {
    out += field;
    return;
  }
  out += '"';
  for (char c : field) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

void AppendJson(std::string& out, const std::string& field) {
  const auto is_plain = [](unsigned char c) {
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
  };
  if (std::all_of(field.begin(), field.end(), is_plain)) {
    absl::StrAppend(&out, "\"", field, "\"");
  } else {
    out += PrintJson(Json(field));
  }
}

class Writer {
 public:
  Writer(const Report& report, Format format, Encoding encoding)
      : report_(report),
        columns_(ColumnsOf(format)),
        focus_(format == Format::kFocus13),
        encoding_(encoding) {}

  absl::StatusOr<std::string> Write() {
    out_.reserve(report_.rows.size() * (focus_ ? 1500 : 420));
    if (encoding_ == Encoding::kCsv) {
      for (size_t i = 0; i < columns_.size(); ++i) {
        absl::StrAppend(&out_, i == 0 ? "" : ",", columns_[i].name);
      }
      out_ += "\r\n";
    }
    for (const Row& row : report_.rows) {
      if (row.device >= report_.devices.size()) {
        return absl::InvalidArgumentError(
            absl::StrCat("a row names device ", row.device, " of ", report_.devices.size()));
      }
      SetHour(row.hour);
      if (focus_) {
        Line(row, Meter::kCompute);
        Line(row, Meter::kMemory);
      } else {
        Line(row, Meter::kNone);
      }
    }
    return std::move(out_);
  }

 private:
  void SetHour(int64_t hour) {
    if (hour == hour_) return;
    hour_ = hour;
    start_ = FormatTime(hour);
    end_ = FormatTime(hour + kHourSeconds);
    month_ = FormatTime(MonthOf(hour));
    next_month_ = FormatTime(MonthOf(hour, 1));
  }

  void Line(const Row& row, Meter meter) {
    const Context context = {
        report_, report_.devices[row.device], row, meter, start_, end_, month_, next_month_};
    bool first = true;
    if (encoding_ == Encoding::kJsonLines) out_ += '{';
    for (const Column& column : columns_) {
      field_.clear();
      column.append(context, field_);
      if (encoding_ == Encoding::kCsv) {
        if (!first) out_ += ',';
        if (column.kind == Kind::kText) {
          AppendCsv(out_, field_);
        } else {
          out_ += field_;
        }
      } else if (!field_.empty()) {
        absl::StrAppend(&out_, first ? "\"" : ",\"", column.name, "\":");
        if (column.kind == Kind::kText) {
          AppendJson(out_, field_);
        } else {
          out_ += field_;
        }
      } else {
        continue;
      }
      first = false;
    }
    out_ += encoding_ == Encoding::kCsv ? "\r\n" : "}\n";
  }

  const Report& report_;
  const std::vector<Column> columns_;
  const bool focus_;
  const Encoding encoding_;
  int64_t hour_ = INT64_MIN;
  std::string start_, end_, month_, next_month_;
  std::string field_;
  std::string out_;
};

std::string Sha256(absl::string_view content) {
  SHA2_CTX context;
  SHA256Init(&context);
  SHA256Update(&context, reinterpret_cast<const uint8_t*>(content.data()), content.size());
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256Final(digest, &context);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), sizeof(digest)));
}

}  // namespace

absl::StatusOr<Format> ParseFormat(absl::string_view text) {
  for (Format format : {Format::kNative, Format::kFocus13}) {
    if (text == FormatName(format)) return format;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no format \"", text, "\"; there are native and focus-1.3"));
}

absl::string_view FormatName(Format format) {
  return format == Format::kNative ? "native" : "focus-1.3";
}

std::vector<std::string> ColumnNames(Format format) {
  std::vector<std::string> names;
  for (const Column& column : ColumnsOf(format)) names.emplace_back(column.name);
  return names;
}

absl::StatusOr<std::string> WriteTable(const Report& report, Format format, Encoding encoding) {
  return Writer(report, format, encoding).Write();
}

Json Sidecar(const Report& report, absl::string_view format, absl::string_view encoding,
             size_t rows, absl::string_view content) {
  Json sidecar = {{"schema", "het-allocation"},
                  {"schemaVersion", kSchemaVersion},
                  {"format", std::string(format)},
                  {"encoding", std::string(encoding)},
                  {"generator", report.generator},
                  {"node", report.node},
                  {"from", FormatTime(report.from)},
                  {"to", FormatTime(report.to)},
                  {"rows", rows},
                  {"bytes", content.size()},
                  {"sha256", Sha256(content)},
                  {"ownRowsOnly", report.own_rows_only}};
  if (report.open_hour != kUnknown) sidecar["openHour"] = FormatTime(report.open_hour);
  return sidecar;
}

}  // namespace het::report
