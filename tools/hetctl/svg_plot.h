// SvgPlot: a line or bar plot as one SVG element, for pages that carry no script and fetch nothing.
//
// Deterministic: the same values give the same bytes. Not thread-safe.
#ifndef HET_TOOLS_HETCTL_SVG_PLOT_H_
#define HET_TOOLS_HETCTL_SVG_PLOT_H_

#include <string>
#include <utility>
#include <vector>

namespace het::hetctl {

struct PlotLine {
  std::string name;
  std::vector<std::pair<double, double>> points;  // x ascending
  bool filled = false;                            // the area below it
};

struct PlotBar {
  std::string name;
  double value = 0;
  double plus_minus = 0;  // drawn as a whisker where it is above 0
};

struct PlotFrame {
  std::string title;
  std::string x_label;  // lines only
  std::string y_label;
  bool from_zero = true;
};

// "" without a point.
std::string LinePlot(const PlotFrame& frame, const std::vector<PlotLine>& lines);
std::string BarPlot(const PlotFrame& frame, const std::vector<PlotBar>& bars);

// & < > " as entities.
std::string EscapeHtml(const std::string& text);

}  // namespace het::hetctl

#endif  // HET_TOOLS_HETCTL_SVG_PLOT_H_
