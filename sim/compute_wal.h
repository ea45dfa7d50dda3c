// compute_wal.h: names in a compute's data directory, for what it writes of its WAL.
#pragma once

namespace halogen::sim {

constexpr const char* kComputeNotes = "power_notes";  // A folder of SectorNotes.
// A file that a test makes: from then on the compute's syncs do nothing, which it must find.
constexpr const char* kForgetsSyncs = "power_forgets_syncs";

}  // namespace halogen::sim
