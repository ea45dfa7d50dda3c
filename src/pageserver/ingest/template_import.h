// template_import.h: a data directory becomes the first history of a timeline.
#pragma once
#include "base/file.h"
#include "pageserver/layers/store.h"
#include "postgres/major.h"

namespace halogen::pageserver {

// Puts everything in the data directory of a cleanly stopped cluster into an empty Store, as of
// `lsn`, and advances to it: pages of permanent relations, SLRUs, databases, files, counters.
// invalid_argument if the cluster was not stopped cleanly, is of another major, or has WAL beyond
// `lsn`.
void import_data_directory(Store& store, const fs::path& folder, Lsn lsn, const MajorLayout& major);

}  // namespace halogen::pageserver
