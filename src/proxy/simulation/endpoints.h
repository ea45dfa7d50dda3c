// endpoints.h: control as the proxy sees it, with one endpoint, whose compute starts when it is
// needed and is suspended when it is not.
#pragma once
#include <vector>

#include "protocol/endpoints.h"
#include "proxy/simulation/compute.h"

namespace halogen::proxy::simulation {

inline const std::string kEndpoint = "ep-sim";
inline const std::string kPassword = "secret";

class SimulatedEndpoints : public Endpoints {
 public:
  SimulatedEndpoints(Ground& ground, Compute& compute);

  bool exists(const std::string& endpoint) override { return endpoint == kEndpoint; }
  std::optional<std::string> endpoint_of_branch(const std::string&) override { return {}; }
  void look_at(const std::string&, const std::string&,
               std::function<void(Outcome<std::string>)> done) override {
    done({std::nullopt, Error(Errc::not_found, "there is no history in here")});
  }
  bool address_allowed(const std::string&, const IpAddress&) override { return true; }
  void role_secret(const std::string& endpoint, const std::string& role,
                   std::function<void(Outcome<RoleSecret>)> done) override;
  void wake(const std::string& endpoint,
            std::function<void(Outcome<ComputeAddress>)> done) override;
  std::optional<uint64_t> use_began(const std::string& endpoint) override;
  void use_ended(const std::string&) override { uses_--; }
  PoolSettings pool_settings(const std::string&) override { return settings_; }

  int uses() const { return uses_; }
  bool starting() const { return !waiting_.empty(); }
  void set_settings(const PoolSettings& settings) { settings_ = settings; }

 private:
  void started(bool well);

  Ground& ground_;
  Compute& compute_;
  PoolSettings settings_;
  const std::string verifier_;
  std::vector<std::function<void(Outcome<ComputeAddress>)>> waiting_;
  int uses_ = 0;
};

}  // namespace halogen::proxy::simulation
