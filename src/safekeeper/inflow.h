// inflow.h: how the WAL of one term's compute comes into its timeline. Ends with its destruction,
// and keeps what has come until then.
#pragma once

namespace halogen::safekeeper {

class Inflow {
 public:
  virtual ~Inflow() = default;
  // All that the compute has been told is durable has come when this returns.
  virtual void catch_up() {}
};

}  // namespace halogen::safekeeper
