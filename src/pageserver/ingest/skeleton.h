// skeleton.h: what a compute boots from, besides pages, made from metadata.
//
// Of unlogged relations only the init fork is among the relations: whoever builds the data
// directory makes their main fork as a copy of it (pages and length), and no other forks, as
// Postgres itself does after a crash. hot_pages is left empty.
#pragma once
#include "pageserver/ingest/head.h"
#include "postgres/major.h"

namespace halogen::pageserver {

Skeleton build_skeleton(const Head& head, const MajorLayout& major);
// As of any LSN up to last_record_lsn that is a record's end.
Skeleton build_skeleton(const Store& store, Lsn lsn, int major);

}  // namespace halogen::pageserver
