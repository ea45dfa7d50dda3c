// inflow.h: how the WAL of one term's compute comes into its timeline. Ends with its destruction,
// and keeps what has come until then.
#pragma once

#include <string>

#include "base/error.h"

namespace halogen::safekeeper {

class Inflow {
 public:
  virtual ~Inflow() = default;
  // All that the compute has been told is durable has come when this returns.
  virtual void catch_up() {}
};

// For an operator: the timeline of this name cannot store what comes.
void log_full_disk(const std::string& name, const Error& error);

}  // namespace halogen::safekeeper
