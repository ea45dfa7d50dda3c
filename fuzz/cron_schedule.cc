// A job's schedule and a moment: what is due is later than that, at the beginning of a minute
// unless it is an interval, and nothing of that schedule is due between the two.
#include "compute/agent/cron_schedule.h"

#include <cstring>

#include "base/error.h"

using namespace halogen;
using std::chrono::seconds;
using std::chrono::sys_seconds;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  uint32_t moment = 0;
  if (size < sizeof moment) return 0;
  std::memcpy(&moment, data, sizeof moment);
  const std::string_view text(reinterpret_cast<const char*>(data) + sizeof moment,
                              size - sizeof moment);
  const sys_seconds after{seconds(moment)};
  const auto due = compute::next_due(text, after);
  if (!due) return 0;
  CHECK(*due > after);
  if (due->time_since_epoch() % seconds(60) != seconds(0)) return 0;
  for (seconds back : {seconds(1), (*due - after + seconds(1)) / 2, *due - after}) {
    const auto again = compute::next_due(text, *due - back);
    CHECK(again && (*again == *due || *again == *due - back + compute::kShortestInterval));
  }
  return 0;
}
