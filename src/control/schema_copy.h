// schema_copy.h: a branch's roles, databases and schemas, without their rows, put into another one.
#pragma once
#include <string>

#include "control/suspend.h"
#include "protocol/compute_host.h"

namespace halogen::control {

// Wakes both. The target is a fresh branch of the template, which only the platform uses yet; what
// the template has of an owner and a database goes. Throws what Postgres answers; the target is of
// no use then.
void copy_schema(EndpointManager& endpoints, ComputeHost& host, const std::string& source,
                 const std::string& target);

}  // namespace halogen::control
