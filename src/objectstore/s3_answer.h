// s3_answer.h: what S3 says in XML. Pure; the bytes are anybody's.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "objectstore/object_store.h"

namespace halogen::objectstore {

struct ListedPage {
  std::vector<ObjectInfo> objects;
  std::string next;  // The token to go on with; empty at the end.
};

// The answer to ListObjectsV2. Throws corrupt.
ListedPage parse_list(std::string_view xml);

// The Code of an error's body, as NoSuchKey; empty if it is none.
std::string error_code_of(std::string_view xml);

}  // namespace halogen::objectstore
