// An answer of S3 made of any bytes: read, or refused as corrupt.
#include "objectstore/s3_answer.h"

#include "base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace halogen;
  const std::string_view xml(reinterpret_cast<const char*>(data), size);
  try {
    objectstore::parse_list(xml);
  } catch (const Error& error) {
    CHECK(error.code() == Errc::corrupt, "{}", error.what());
  }
  (void)objectstore::error_code_of(xml);
  return 0;
}
