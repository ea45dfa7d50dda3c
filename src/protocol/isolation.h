// isolation.h: the layers that keep a tenant from everything that is not its own, and the switches
// that take one out.
//
// Each layer should hold alone. So that no test of one is empty, tests/isolation takes it out
// (`halogen up --unsafe-without=LAYER`) and sees the attack succeed. An operator turns off only
// rooms (`--isolation=none`), where the kernel does not let us make them.
#pragma once
#include <string>
#include <string_view>

namespace halogen {

struct IsolationLayers {
  bool rooms = true;         // Computes see neither the machine nor each other.
  bool login_secret = true;  // A compute's own socket asks for a secret of that start.
  bool storage_tokens =
      true;                // Safekeeper and page service ask for a token of one compute's start.
  bool role_guard = true;  // No role of a tenant can reach the platform's or the predefined ones.
  bool settings_guard = true;  // No tenant changes a setting that the platform needs.
  bool log_mask = true;        // Statements that carry secrets are left out of a compute's log.
};

// The environment variable by which the shim's and the extension's processes learn which layers are
// out: names separated by commas. Not set: all are in. Only the agent writes it.
inline constexpr const char* kWithoutLayers = "HALOGEN_UNSAFE_WITHOUT";

struct IsolationLayerName {
  std::string_view name;
  bool IsolationLayers::* layer;
};
inline constexpr IsolationLayerName kIsolationLayers[] = {
    {"rooms", &IsolationLayers::rooms},
    {"login_secret", &IsolationLayers::login_secret},
    {"storage_tokens", &IsolationLayers::storage_tokens},
    {"role_guard", &IsolationLayers::role_guard},
    {"settings_guard", &IsolationLayers::settings_guard},
    {"log_mask", &IsolationLayers::log_mask},
};

// Returns the names of the layers that are out, separated by commas.
inline std::string layers_out(const IsolationLayers& layers) {
  std::string out;
  for (const auto& [name, layer] : kIsolationLayers) {
    if (layers.*layer) continue;
    if (!out.empty()) out += ',';
    out += name;
  }
  return out;
}

// Takes the named layer out. Returns false if there is none of this name.
inline bool take_out(IsolationLayers& layers, std::string_view name) {
  for (const auto& [known, layer] : kIsolationLayers) {
    if (known != name) continue;
    layers.*layer = false;
    return true;
  }
  return false;
}

}  // namespace halogen
