#include "postgres/major.h"

#include "base/error.h"

namespace halogen {

const MajorLayout& major_layout(int major) {
  if (major == 15) return kMajor15;
  throw Error(Errc::invalid_argument, "PostgreSQL {} is not supported; only 15 is", major);
}

}  // namespace halogen
