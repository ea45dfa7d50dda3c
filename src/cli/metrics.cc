// The platform's numbers, as /metrics has them for Prometheus.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/context.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

struct MetricsFlags {
  std::vector<std::string> names;
  bool raw = false;
};

struct Sample {
  std::string name;
  std::string labels;  // As written, without braces.
  std::string value;
};

// Of a line `name{labels} value`; a label's value may hold spaces and braces.
Sample read_sample(const std::string& line) {
  const size_t space = line.rfind(' ');
  const size_t brace = line.find('{');
  if (brace == std::string::npos || brace > space)
    return {line.substr(0, space), "", line.substr(space + 1)};
  return {line.substr(0, brace), line.substr(brace + 1, line.rfind('}') - brace - 1),
          line.substr(space + 1)};
}

bool is_wanted(const std::string& name, const std::vector<std::string>& wanted) {
  if (wanted.empty()) return true;
  return std::any_of(wanted.begin(), wanted.end(),
                     [&](const std::string& part) { return name.find(part) != std::string::npos; });
}

// A histogram is told by its count and sum here; --raw has all of it.
std::vector<Sample> read_samples(const std::string& text, const std::vector<std::string>& wanted) {
  std::vector<Sample> samples;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    Sample sample = read_sample(line);
    if (sample.name.ends_with("_bucket") || !is_wanted(sample.name, wanted)) continue;
    samples.push_back(std::move(sample));
  }
  return samples;
}

void show_metrics(const Context& context, const MetricsFlags& flags) {
  const std::string text = Api(context).get_text("/metrics");
  if (flags.raw) return fmt::print("{}", text);
  const std::vector<Sample> samples = read_samples(text, flags.names);
  if (context.json) {
    json listed = json::array();
    for (const Sample& sample : samples)
      listed.push_back({{"name", sample.name},
                        {"labels", sample.labels},
                        {"value", std::strtod(sample.value.c_str(), nullptr)}});
    return print_json(listed);
  }
  std::vector<std::vector<std::string>> rows = {{"METRIC", "VALUE", "OF"}};
  for (const Sample& sample : samples) rows.push_back({sample.name, sample.value, sample.labels});
  print_table(rows);
}

}  // namespace

void add_metrics(CLI::App& app, Context& context) {
  auto flags = std::make_shared<MetricsFlags>();
  CLI::App* command = app.add_subcommand("metrics", "Show the platform's metrics");
  command->add_option("names", flags->names, "Only those whose name has one of these in it");
  command->add_flag("--raw", flags->raw, "All, in Prometheus' text format");
  command->callback([&context, flags] { show_metrics(context, *flags); });
  explain(command, {"halogen metrics wake", "halogen metrics --raw"});
}

}  // namespace halogen::cli
