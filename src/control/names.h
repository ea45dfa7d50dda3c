// names.h: fresh identities as the API shows them.
#pragma once
#include <cstdint>
#include <string>

namespace halogen::control {

std::string new_project_id();        // quiet-river-12345678
std::string new_branch_id();         // br-quiet-river-x1y2z3w4
std::string new_organization_id();   // org-quiet-river-12345678
std::string new_snapshot_id();       // snap-quiet-river-x1y2z3w4
std::string new_endpoint_id();       // ep-quiet-river-x1y2z3w4
std::string new_password();          // npg_ and 20 letters and digits: needs no URL encoding.
std::string new_api_key();           // napi_ and 48 letters and digits.
std::string new_invitation_token();  // ninv_ and 48 letters and digits.
uint64_t new_system_identifier();    // As initdb makes it: time above, chance below.
std::string sha256_hex(const std::string& text);

}  // namespace halogen::control
