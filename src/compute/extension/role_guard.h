// role_guard.h: what a login that is no superuser's may not do with roles, files and replication.
//
// Installed in every backend, but for redo's. README.md has the rules (G1 to G4).
#ifndef HALOGEN_EXTENSION_ROLE_GUARD_H
#define HALOGEN_EXTENSION_ROLE_GUARD_H

#include "pg.h"

// Call when the library is loaded. Effect: none if the layer role_guard is out
// (protocol/isolation.h).
void hg_role_guard_init(void);

// Whether this backend now works for a tenant: its login is no superuser's, or it runs a tenant's
// code with that tenant's rights (autovacuum calls the functions of indexes).
bool hg_works_for_tenant(void);

// replication_guard.c: what such a login may not do to the safekeeper's stream.
void hg_replication_guard_init(void);
// Before pg_drop_replication_slot and the like. ERROR if they could hit a safekeeper's slot.
void hg_check_slot_function(void);

#endif
