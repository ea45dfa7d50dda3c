// refused.h: the error that ends a client's connection, in the words that the client is told.
#pragma once
#include <string_view>

#include "base/error.h"
#include "postgres/wire.h"

namespace halogen::proxy {

// A client is told why and let go. Its message is for the client's eyes.
class Refused : public Error {
 public:
  Refused(std::string_view sqlstate, std::string_view message, std::string_view hint = {},
          Errc code = Errc::permission_denied);
  // In a server's own words.
  explicit Refused(wire::ErrorFields fields);

  const wire::ErrorFields& fields() const { return fields_; }

 private:
  wire::ErrorFields fields_;
};

// No room for those that have not shown who they are.
Refused too_many_newcomers();
// Its address has begun too many connections that did not log in.
Refused spent_all();
// For a client, or for its server connection.
Refused no_descriptors();

}  // namespace halogen::proxy
