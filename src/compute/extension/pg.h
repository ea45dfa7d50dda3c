// pg.h: the server's headers, and the one file of what differs in this major.
#ifndef HALOGEN_EXTENSION_PG_H
#define HALOGEN_EXTENSION_PG_H

// clang-format off: postgres.h comes first.
#include "postgres.h"

#include <sys/ipc.h>
#include <sys/shm.h>

#include "access/rmgr.h"
#include "access/xlog.h"
#include "access/xlogutils.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufpage.h"
#include "storage/ipc.h"
#include "storage/pg_shmem.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
// clang-format on

#if PG_MAJORVERSION_NUM == 15
#include "pg15.h"
#else
#error "no seam for this Postgres major: write pgNN.h"
#endif

#endif
