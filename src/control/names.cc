#include "control/names.h"

#include <fmt/format.h>
#include <openssl/sha.h>

#include <array>
#include <ctime>
#include <string_view>

#include "base/bytes.h"
#include "base/ids.h"

namespace halogen::control {
namespace {

constexpr auto kAdjectives = std::to_array<std::string_view>(
    {"aged",    "autumn", "blue",   "bold",  "brave",   "bright", "calm",   "clear",
     "cold",    "cool",   "damp",   "dark",  "dawn",    "deep",   "dry",    "dusty",
     "early",   "fair",   "fast",   "fine",  "fresh",   "frosty", "gentle", "gold",
     "green",   "hidden", "icy",    "jolly", "kind",    "late",   "little", "lively",
     "long",    "lucky",  "mild",   "misty", "morning", "mute",   "noble",  "old",
     "patient", "plain",  "polite", "proud", "quiet",   "rapid",  "red",    "rough",
     "round",   "royal",  "shiny",  "shy",   "silent",  "small",  "snowy",  "soft",
     "solar",   "spring", "still",  "sunny", "tiny",    "warm",   "wild",   "young"});
constexpr auto kNouns = std::to_array<std::string_view>(
    {"art",    "bird",    "bonus",  "breeze",   "brook",    "bush",   "cake",   "cell",
     "cherry", "cloud",   "credit", "darkness", "dawn",     "dew",    "disk",   "dream",
     "dust",   "feather", "field",  "fire",     "firefly",  "flower", "fog",    "forest",
     "frog",   "frost",   "glade",  "glitter",  "grass",    "hall",   "hat",    "haze",
     "heart",  "hill",    "king",   "lab",      "lake",     "leaf",   "limit",  "math",
     "meadow", "mode",    "moon",   "morning",  "mountain", "mouse",  "mud",    "night",
     "paper",  "pine",    "poetry", "pond",     "queen",    "rain",   "recipe", "resonance",
     "rice",   "river",   "salad",  "scene",    "sea",      "sky",    "star",   "sun"});
static_assert(kAdjectives.size() == 64 && kNouns.size() == 64);

uint64_t random_number() {
  uint64_t number;
  random_bytes(&number, sizeof number);
  return number;
}

// 64 words of each: six bits choose one without bias.
std::string two_words() {
  uint64_t chance = random_number();
  return fmt::format("{}-{}", kAdjectives[chance & 63], kNouns[chance >> 6 & 63]);
}

}  // namespace

std::string new_project_id() {
  return fmt::format("{}-{:08}", two_words(), random_number() % 100'000'000);
}

std::string new_branch_id() { return fmt::format("br-{}-{}", two_words(), random_name(8)); }

std::string new_endpoint_id() { return fmt::format("ep-{}-{}", two_words(), random_name(8)); }

std::string new_organization_id() { return "org-" + new_project_id(); }

std::string new_invitation_token() { return "ninv_" + random_name(48); }

std::string new_snapshot_id() { return fmt::format("snap-{}-{}", two_words(), random_name(8)); }

std::string new_password() { return "npg_" + random_name(20); }

std::string new_api_key() { return "napi_" + random_name(48); }

uint64_t new_system_identifier() {
  return static_cast<uint64_t>(std::time(nullptr)) << 32 | (random_number() & 0xFFFFFFFFu);
}

std::string sha256_hex(const std::string& text) {
  std::array<uint8_t, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return to_hex(std::as_bytes(std::span(digest)));
}

}  // namespace halogen::control
