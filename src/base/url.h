// url.h: text as a part of a URL.
#pragma once
#include <string>
#include <string_view>

namespace halogen {

// Percent-encoded but for letters, digits and -._~ (RFC 3986, 2.3): any text is a path segment, a
// query value, a user or a password then.
std::string url_encoded(std::string_view text);
// The text that was encoded. What is no escape stays as it is.
std::string url_decoded(std::string_view text);

}  // namespace halogen
