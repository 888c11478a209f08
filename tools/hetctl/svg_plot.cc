#include "tools/hetctl/svg_plot.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace het::hetctl {
namespace {

constexpr double kWidth = 640, kHeight = 300;
constexpr double kLeft = 64, kRight = 16, kTop = 34, kBottom = 62;
// Okabe and Ito's palette: told apart by colour-blind readers too.
constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                    "#e69f00", "#56b4e9", "#555555"};

const char* Colour(size_t i) { return kColours[i % std::size(kColours)]; }

// 1, 2 or 5 times a power of ten, so that about `count` of them make the range.
double NiceStep(double range, int count) {
  if (!(range > 0)) return 1;
  const double raw = range / count;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (raw <= factor * power) return factor * power;
  }
  return 10 * power;
}

struct Axis {
  double low = 0, high = 1, step = 1;
  double from = 0, to = 1;  // pixels
  double At(double value) const {
    return high > low ? from + (value - low) / (high - low) * (to - from) : from;
  }
};

Axis MakeAxis(double low, double high, double from, double to, int ticks) {
  Axis axis;
  if (!(high > low)) high = low + 1;
  axis.step = NiceStep(high - low, ticks);
  axis.low = std::floor(low / axis.step + 1e-9) * axis.step;
  axis.high = std::ceil(high / axis.step - 1e-9) * axis.step;
  axis.from = from;
  axis.to = to;
  return axis;
}

std::string Number(double value) {
  const double shown = std::abs(value) < 1e-12 ? 0 : value;
  if (std::abs(shown) >= 1e6) return absl::StrFormat("%.3gM", shown / 1e6);
  if (std::abs(shown) >= 1e4) return absl::StrFormat("%.3gk", shown / 1e3);
  return absl::StrFormat("%.4g", shown);
}

void Text(std::string& svg, double x, double y, const char* anchor, const std::string& text,
          const char* extra = "") {
  absl::StrAppendFormat(&svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>%s</text>\n", x, y,
                        anchor, extra, EscapeHtml(text));
}

void Open(std::string& svg, const PlotFrame& frame, const Axis& y) {
  absl::StrAppendFormat(&svg, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"%s\">\n",
                        kWidth, kHeight, EscapeHtml(frame.title));
  Text(svg, kLeft, 18, "start", frame.title, " class=\"title\"");
  for (double value = y.low; value <= y.high + y.step / 2; value += y.step) {
    absl::StrAppendFormat(
        &svg, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" class=\"grid\"/>\n", kLeft,
        kWidth - kRight, y.At(value), y.At(value));
    Text(svg, kLeft - 6, y.At(value) + 4, "end", Number(value));
  }
  absl::StrAppendFormat(&svg,
                        "<text transform=\"translate(14 %.1f) rotate(-90)\" "
                        "text-anchor=\"middle\">%s</text>\n",
                        (kTop + kHeight - kBottom) / 2, EscapeHtml(frame.y_label));
}

}  // namespace

std::string EscapeHtml(const std::string& text) {
  return absl::StrReplaceAll(text,
                             {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

std::string LinePlot(const PlotFrame& frame, const std::vector<PlotLine>& lines) {
  double x_low = 0, x_high = 0, y_low = 0, y_high = 0;
  bool any = false;
  for (const PlotLine& line : lines) {
    for (const auto& [x, y] : line.points) {
      x_low = any ? std::min(x_low, x) : x;
      x_high = any ? std::max(x_high, x) : x;
      y_low = any ? std::min(y_low, y) : y;
      y_high = any ? std::max(y_high, y) : y;
      any = true;
    }
  }
  if (!any) return "";
  if (frame.from_zero) y_low = std::min(y_low, 0.0);
  const Axis y = MakeAxis(y_low, y_high, kHeight - kBottom, kTop, 5);
  Axis x = MakeAxis(x_low, x_high, kLeft, kWidth - kRight, 8);
  x.low = x_low;
  x.high = std::max(x_high, x_low + 1e-9);
  std::string svg;
  Open(svg, frame, y);
  for (double value = std::ceil(x.low / x.step) * x.step; value <= x.high; value += x.step)
    Text(svg, x.At(value), kHeight - kBottom + 16, "middle", Number(value));
  Text(svg, (kLeft + kWidth - kRight) / 2, kHeight - kBottom + 32, "middle", frame.x_label);
  double legend = kLeft;
  for (size_t i = 0; i < lines.size(); ++i) {
    std::string points;
    for (const auto& [px, py] : lines[i].points)
      absl::StrAppendFormat(&points, "%.1f,%.1f ", x.At(px), y.At(py));
    if (lines[i].filled && !lines[i].points.empty()) {
      absl::StrAppendFormat(
          &svg, "<polygon points=\"%.1f,%.1f %s%.1f,%.1f\" fill=\"%s\" fill-opacity=\"0.25\"/>\n",
          x.At(lines[i].points.front().first), y.At(y.low), points,
          x.At(lines[i].points.back().first), y.At(y.low), Colour(i));
    }
    absl::StrAppendFormat(
        &svg, "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"1.6\"/>\n",
        points, Colour(i));
    absl::StrAppendFormat(&svg,
                          "<rect x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"3\" fill=\"%s\"/>\n",
                          legend, kHeight - 14, Colour(i));
    Text(svg, legend + 16, kHeight - 9, "start", lines[i].name);
    legend += 28 + 6.6 * static_cast<double>(lines[i].name.size());
  }
  return svg + "</svg>\n";
}

std::string BarPlot(const PlotFrame& frame, const std::vector<PlotBar>& bars) {
  if (bars.empty()) return "";
  double high = 0;
  for (const PlotBar& bar : bars) high = std::max(high, bar.value + bar.plus_minus);
  const Axis y = MakeAxis(0, high, kHeight - kBottom, kTop, 5);
  std::string svg;
  Open(svg, frame, y);
  const double slot = (kWidth - kLeft - kRight) / static_cast<double>(bars.size());
  for (size_t i = 0; i < bars.size(); ++i) {
    const double middle = kLeft + slot * (static_cast<double>(i) + 0.5);
    const double width = std::min(slot * 0.6, 70.0);
    const double top = y.At(bars[i].value);
    absl::StrAppendFormat(
        &svg, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n",
        middle - width / 2, top, width, y.At(0) - top, Colour(i));
    if (bars[i].plus_minus > 0) {
      absl::StrAppendFormat(
          &svg, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#000\"/>\n", middle,
          middle, y.At(bars[i].value - bars[i].plus_minus),
          y.At(bars[i].value + bars[i].plus_minus));
    }
    Text(svg, middle, y.At(bars[i].value + bars[i].plus_minus) - 5, "middle",
         Number(bars[i].value));
    Text(svg, middle, kHeight - kBottom + 16, "middle", bars[i].name);
  }
  return svg + "</svg>\n";
}

}  // namespace het::hetctl
