// text_diff.h: what of a text changed to another, as `diff -u` tells it. Pure.
#pragma once
#include <string>
#include <string_view>

namespace halogen::control {

// Empty if they are the same. The names stand in its heading. Texts that differ in very many lines
// are told as replaced, from the first line that differs to the last.
std::string unified_diff(std::string_view before, std::string_view after,
                         const std::string& name_before, const std::string& name_after);

}  // namespace halogen::control
