// suspend.h: the parts of preparing a clean suspend.
#ifndef HALOGEN_EXTENSION_SUSPEND_H
#define HALOGEN_EXTENSION_SUSPEND_H

#include "pg.h"

// One file of a permanent or unlogged relation in the data directory; never of a temporary one.
typedef struct RelationFile {
  HgRelation rel;
  ForkNumber fork;
  uint32 segment;
  const char* path;  // Relative to the data directory; valid during the call only.
} RelationFile;

typedef void (*RelationFileVisitor)(const RelationFile* file, void* context);

// suspend_scan.c: calls `visit` for every relation file there is, in no particular order.
void hg_scan_relation_files(RelationFileVisitor visit, void* context);

#endif
